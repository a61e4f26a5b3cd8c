"""Two artifacts compared with each other."""
