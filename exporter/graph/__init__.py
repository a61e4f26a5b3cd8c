"""The TF-Slim graphs, and what lets every promised reader take them."""
