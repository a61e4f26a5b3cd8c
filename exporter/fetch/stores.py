"""Where files lie that fsspec reaches, such as ``s3://bucket/folder``: found by their address, and how they fail.

fsspec and what each kind of store needs beside it come with the extra ``publish``, and are imported where an address
asks for them. User names and passwords of an address are taken out of it here, and no message of a library passes on
what could be one.
"""

import contextlib
import errno
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from exporter.errors import NOT_DONE, USAGE, ConfigError, NasexportError
from exporter.fetch.addresses import local_path, protocol_of_store, without_password, without_passwords

EXTRA = "pip install 'nasexport[publish]'"
#: Environment variables whose values are nobody's business.
_SECRET = re.compile(r".*(TOKEN|KEY|KEY_ID|SECRET|PASSWORD|PASSPHRASE|CREDENTIALS)", re.IGNORECASE)
#: Shorter values may be a part of any word.
_SHORTEST_SECRET = 8
#: What libraries raise for credentials that are missing or wrong, where it is no PermissionError.
_REFUSED = frozenset(
    {
        *("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError", "UnauthorizedSSOTokenError"),
        *("DefaultCredentialsError", "RefreshError", "AuthenticationException", "ClientAuthenticationError"),
        *("GatedRepoError", "LocalTokenNotFoundError"),
    }
)
#: What they raise for a server that does not answer, or a connection that is cut: the names of classes and their bases.
_UNREACHED = frozenset(
    {
        *("ConnectionError", "TimeoutError", "TransportError", "ClientConnectionError", "ClientPayloadError"),
        *("HTTPClientError", "EndpointConnectionError", "ConnectionClosedError", "IncompleteReadError"),
    }
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Store:
    """A file or a folder in a store: its file system of fsspec, its path there, and its address as users may see it."""

    files: Any
    path: str
    shown: str
    protocol: str

    def below(self, path: str) -> str:
        """The path there of what lies at ``path`` below it."""
        return f"{self.path.rstrip('/')}/{path}" if self.path else path

    @property
    def container(self) -> str:
        """The first part of its path: the bucket, where there are buckets."""
        return self.path.partition("/")[0]


def store(address: str, error: type[NasexportError]) -> Store:
    """The place that an address means. Of most stores nothing is asked yet; some are connected to.

    Args:
        address: such as ``s3://bucket/folder``, or of a web server; a path and a ``file`` URL mean a place on this
            machine.
        error: the class of the error where the store cannot be had.

    Raises:
        ConfigError: the address is none.
        NasexportError: ``error``, where fsspec or what it needs for this is not installed, or does not connect.
    """
    shown = without_password(address)
    with failures(shown, error):
        import fsspec
    try:
        protocol = require_protocol(address)
        path = local_path(address)
        if "\0" in address:
            raise ValueError("it has a NUL")
    except ValueError as problem:
        raise ConfigError(
            f"{shown}: {problem}; expected a folder, or an address such as s3://bucket/folder", status=USAGE
        ) from problem
    with failures(shown, error):
        if not logging.root.isEnabledFor(logging.DEBUG):
            # Of a connection that is cut, tasks that nobody waits for print tracebacks.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        kind = fsspec.get_filesystem_class(protocol)
        options = kind._get_kwargs_from_urls(address) if path is None else {}
        _require_usable_credentials(address, shown, options)
        inside = str(kind._strip_protocol(address if path is None else str(path.absolute()))).rstrip("/")
        return Store(kind(**options, use_listings_cache=False, skip_instance_cache=True), inside, shown, protocol)


def require_protocol(address: str) -> str:
    """The protocol of an address, which fsspec knows; that of a path and of a ``file`` URL is "file".

    Raises:
        ValueError: it is of another, or nobody can say, as fsspec is not installed.
    """
    protocol = protocol_of_store(address) or urlsplit(address).scheme.lower()
    if local_path(address) is not None:
        protocol = "file"
    try:
        import fsspec
    except ImportError:
        raise ValueError(f"it needs fsspec, which is not installed ({EXTRA})") from None
    if protocol not in fsspec.available_protocols() or "::" in address:
        raise ValueError("fsspec knows no such place")
    return protocol


def _require_usable_credentials(address: str, shown: str, options: dict[str, Any]) -> None:
    """Raises ConfigError for a user name and a password that would be taken for a part of a name, and shown as such."""
    authority = address.partition("://")[2].partition("/")[0]
    if "@" in authority and not {"username", "user", "account_name"} & options.keys():
        raise ConfigError(
            f"{shown} was named with a user name or a password in it: such stores take them from the environment",
            status=USAGE,
        )


@contextlib.contextmanager
def failures(shown: str, kind: type[NasexportError], doing: str = "cannot use") -> Iterator[None]:
    """Within it, whatever a library raises for a store is raised as ``kind``, in a line, without secrets.

    Args:
        shown: the address that the message names.
        doing: what cannot be done with it.
    """
    try:
        yield
    except NasexportError:
        raise
    except Exception as error:
        raise kind(f"{doing} {shown}: {reason(error)}", status=NOT_DONE) from error


def reason(error: BaseException) -> str:
    """What is the matter, by the kind of the error where that says it, and what the library says of it."""
    chain = list(_chain(error))
    said = _said(error)
    if len(chain) > 1 and error.__cause__ is not None and type(error) in (RuntimeError, OSError):
        said = f"{said}: {_said(chain[-1])}"  # which says what the other was raised for
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    if any(isinstance(each, OSError) and each.errno in _FULL for each in chain):
        return f"its disk is full ({said})"
    if any(isinstance(each, ImportError) for each in chain):
        return f"{said} ({EXTRA})"
    if names & _REFUSED or any(isinstance(each, PermissionError) or _status(each) in (401, 403) for each in chain):
        return f"access is refused ({said}); are the credentials in the environment right, and allowed to do this?"
    if any(isinstance(each, FileNotFoundError) for each in chain):
        return f"it is not there ({said})"
    if names & _UNREACHED:
        return f"it cannot be reached, or the connection broke off ({type(error).__name__}: {said})"
    return f"{type(error).__name__}: {said}"


def _said(error: BaseException) -> str:
    return without_secrets(" ".join(str(error).split()))[:300] or type(error).__name__


def _status(error: BaseException) -> int | None:
    """The status with which a server answered, where the error has one."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def without_secrets(text: str) -> str:
    """A text of a library without passwords in addresses, their queries, which can be signed, and secret variables."""
    text = re.sub(r"(\w+://[^\s?'\"<>]*)\?[^\s'\"<>]*", r"\1", without_passwords(text))
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET.fullmatch(name):
            text = text.replace(value, "***")
    return text
