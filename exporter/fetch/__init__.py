"""The published archives: pinned, downloaded, cached."""
