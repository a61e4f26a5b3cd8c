"""Two artifacts held against each other."""
