"""Addresses of the release that tests serve, and pieces of hostile ones."""

from hypothesis import strategies

NAME = "google/imagenet/tiny_nasnet/feature_vector"
HANDLE = f"{NAME}/4"
COMPRESSED = {"tf-hub-format": "compressed"}

#: Pieces of paths that could lead out of a release.
PIECES = strategies.sampled_from(
    [
        "..", ".", "/", "//", "\\", "%2e%2e", "%2E%2e", "%2f", "%5c", "%252e%252e", "%00", "%c0%ae", "..;", ":",
        "secret.txt", "unlisted.txt", ".git", "config", ".hidden", "linked", "provenance.json", "release", "etc/passwd",
        "google", "imagenet", "tiny_nasnet", "feature_vector", "4", HANDLE, "saved_model.pb", ".tar.gz", "index.html",
        "?tf-hub-format=compressed", "#", "http://127.0.0.1/", "file:///",
    ]
)  # fmt: skip
