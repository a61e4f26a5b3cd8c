"""What kind of content each file of a release has, as its servers say it."""

from pathlib import PurePosixPath

from exporter.release.manifest import SUMS_FILE

_TYPES = {
    ".gz": "application/gzip",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    "": "application/octet-stream",
}
#: A version can be built again, and its files belong together, so clients must revalidate what they cached; as long as
#: nothing has changed, that costs a response without content.
CACHE_CONTROL = "public, no-cache"


def media_type(path: str) -> str:
    """The value of ``Content-Type`` for a file, by its path in the release."""
    if path == SUMS_FILE:
        return _TYPES[".txt"]
    return _TYPES.get(PurePosixPath(path).suffix, _TYPES[""])
