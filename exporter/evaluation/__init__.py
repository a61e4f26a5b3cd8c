"""Classifies images with an artifact, and measures its accuracy."""
