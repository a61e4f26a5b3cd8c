"""An artifact held against its reference, check by check, and the verdict."""
