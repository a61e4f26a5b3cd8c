"""Where archives can be had: addresses on servers, files on disks; how an address is shown, without its password."""

import contextlib
import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from exporter.errors import ConfigError
from exporter.fetch.lock import LockedArchive
from exporter.settings import Settings
from exporter.terminal import printable

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?P<rest>.*)", re.DOTALL)
_AUTHORITY_ENDS = re.compile(r"[/?#\\]")
#: A port, an IPv6 address, or nothing: what follows a colon where it is no password.
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:@\[\]]*)(:\d*)?")


def without_password(url: str) -> str:
    """The URL as messages, records and file names have it: in a line, without the user name and password it may hold.

    It need not be a URL that anybody could ask for: a password with a slash in it makes it none.
    """
    return printable(_without_user(url))


def _without_user(url: str) -> str:
    match = _SCHEME.fullmatch(url)
    if not match:
        return url  # a path
    slashes = re.match(r"[/\\]*", match["rest"])
    assert slashes
    rest = match["rest"][slashes.end() :]
    if not slashes[0]:
        # ``user:password@host``, where the scheme was left out, is no address; what has no @ is left as it is.
        return rest.rpartition("@")[2] if "@" in rest else url
    start = f"{match['scheme']}:{slashes[0]}"
    end = _AUTHORITY_ENDS.search(rest)
    authority, path = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if "@" in authority:
        return start + authority.rpartition("@")[2] + path
    if "@" in path and not _HOST_AND_PORT.fullmatch(authority):
        return start + path.rpartition("@")[2]
    return url


def without_passwords(text: str) -> str:
    """A text of another program with all that could be a password taken out of the URLs in it."""
    return re.sub(r"(?<=//)[^\s'\"<>]*@", "", text)


def credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without user name and password, and these; None where it has none.

    Raises:
        ValueError: it is no URL of a server.
    """
    parts = parsed(url)
    user_info, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = user_info.partition(":")
    return urlunsplit(parts._replace(netloc=host)), (unquote(user), unquote(password))


def parsed(url: str) -> SplitResult:
    """The parts of the URL of a server.

    Raises:
        ValueError: it is not one that can be asked: another scheme, no host, a port that is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("it is no http or https URL")
    if not parts.hostname:
        raise ValueError("it has no host")
    if parts.port == 0 or any(character <= " " or character == "\x7f" for character in url):
        raise ValueError("it has port 0, a space or a control character")
    return parts


def local_path(address: str) -> Path | None:
    """The file that a ``file://`` URL or a plain path means; None for the address of a server."""
    match = _SCHEME.fullmatch(address)
    if match and match["scheme"].lower() == "file":
        # With it comes a client for HTTP, a tenth of what every command imports.
        from urllib.request import url2pathname

        return Path(url2pathname(urlsplit(address).path))
    if match and len(match["scheme"]) >= 2:  # one letter is a drive
        return None
    path = Path(address)
    with contextlib.suppress(RuntimeError):  # there is no such user, or no home: it is a name as any other
        return path.expanduser()
    return path


def protocol_of_store(address: str) -> str | None:
    """The protocol of an address that fsspec may know, such as s3://bucket/folder; None for a path or a URL."""
    match = _SCHEME.fullmatch(address)
    if not match or len(match["scheme"]) < 2 or not re.match(r"//[^/]", match["rest"]):
        return None
    protocol = match["scheme"].lower()
    return None if protocol in ("file", "local", "http", "https") else protocol


def addresses(locked: LockedArchive, settings: Settings) -> list[str]:
    """The addresses of an archive in the order to try: on each mirror, then where it is published.

    With ``settings.offline``, only those on this machine.

    Raises:
        ConfigError: one of them is neither an http, https or file URL nor a path, nor an address of fsspec's.
    """
    found = [_join(mirror, locked.file_name) for mirror in settings.mirrors] + [locked.url]
    for url in found:
        _require_address(url)
    return [url for url in found if not settings.offline or local_path(url) is not None]


def _require_address(url: str) -> None:
    try:
        path = local_path(url)
        if not url:
            raise ValueError("it is empty")
        if path is None and protocol_of_store(url) is not None:
            from exporter.fetch.stores import require_protocol

            require_protocol(url)
        elif path is None:
            parsed(url)
        elif "\0" in str(path):
            raise ValueError("it has a NUL")
    # The home of a user whom nobody knows is a RuntimeError.
    except (ValueError, RuntimeError) as error:
        shown = without_password(url)
        raise ConfigError(
            f"cannot fetch from {shown} ({without_passwords(str(error))}): expected an http, https or file URL, "
            f"an address such as s3://bucket/folder, or a folder"
        ) from error


def _join(mirror: str, file_name: str) -> str:
    return mirror.rstrip("/") + "/" + file_name
