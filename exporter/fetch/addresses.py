"""Where archives can be had: addresses on servers, files on disks."""

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from exporter.errors import ConfigError
from exporter.fetch.lock import LockedArchive
from exporter.settings import Settings


def without_password(url: str) -> str:
    """The URL as messages show it, without the user name and password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def local_path(address: str) -> Path | None:
    """The file that a ``file://`` URL or a plain path means; None for the address of a server."""
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return Path(address).expanduser() if len(parts.scheme) < 2 else None  # one letter is a drive


def addresses(locked: LockedArchive, settings: Settings) -> list[str]:
    """The addresses of an archive in the order to try: on each mirror, then where it is published.

    With ``settings.offline``, only those on this machine.

    Raises:
        ConfigError: one of them is neither an http, https or file URL nor a path.
    """
    found = [_join(mirror, locked.file_name) for mirror in settings.mirrors] + [locked.url]
    for url in found:
        if local_path(url) is None and not url.lower().startswith(("http://", "https://")):
            raise ConfigError(
                f"cannot fetch from {without_password(url)}: expected an http, https or file URL, or a folder"
            )
    return [url for url in found if not settings.offline or local_path(url) is not None]


def _join(mirror: str, file_name: str) -> str:
    return mirror.rstrip("/") + "/" + file_name
