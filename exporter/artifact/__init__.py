"""Artifacts written, packed and described; one writer for each format."""
