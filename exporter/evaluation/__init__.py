"""Images in, classes and accuracy out."""
