"""The TF-Slim graphs, and what keeps them readable for the oldest reader."""
