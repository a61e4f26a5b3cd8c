"""An artifact compared with its reference, check by check, and the verdict."""
