"""Options in, a call of the library, text or JSON out."""
