"""Where archives are: on a server, or on a disk."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from exporter.errors import ConfigError
from exporter.fetch.lock import LockedArchive
from exporter.settings import Settings


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


def sources(locked: LockedArchive, settings: Settings) -> list[str]:
    """Where to ask for an archive, in order: each mirror, then the published address; offline, only what is local.

    Raises:
        ConfigError: one of them is of a kind that cannot be asked.
    """
    found = [_join(mirror, locked.file_name) for mirror in settings.mirrors] + [locked.url]
    for url in found:
        if local_path(url) is None and not url.lower().startswith(("http://", "https://")):
            raise ConfigError(f"cannot fetch from {shown(url)}: expected an http, https or file URL, or a folder")
    return [url for url in found if not settings.offline or local_path(url) is not None]


def _join(mirror: str, file_name: str) -> str:
    return mirror.rstrip("/") + "/" + file_name
