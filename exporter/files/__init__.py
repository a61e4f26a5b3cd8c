"""Files on disk: hashed, packed, put in place whole."""
