"""Contestants for which there is no ready-made command; each runs in its own process.

Each prints its facts as JSON in the last line of its standard output.
"""
