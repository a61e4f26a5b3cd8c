"""Where archives are: on a server, or on a disk."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname


def shown(url: str) -> str:
    """The URL without the password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def local_path(source: str) -> Path | None:
    """The file that a ``file://`` URL or a plain path means; None for what a server has."""
    parts = urlsplit(source)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(source).expanduser() if len(parts.scheme) < 2 else None  # one letter is a drive
