"""Reads ``checkpoints.lock``: where each archive is published, and which bytes it must have."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import ConfigError
from exporter.resources import resource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Names another lock file than the one that ships with the package.
LOCK_VARIABLE = "NASEXPORT_LOCK"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LockedArchive:
    """A published archive. ``size`` (bytes) and ``sha256`` are None while it is not pinned."""

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


def locked_archive(name: str) -> LockedArchive:
    """The entry of that name.

    Raises:
        ConfigError: the lock file cannot be read, is not valid, or has no such entry.
    """
    path = Path(os.environ.get(LOCK_VARIABLE) or resource("checkpoints.lock"))
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("checkpoint", {})
    except OSError as error:
        raise ConfigError(f"cannot read the lock file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigError(f"{path} is not a lock file: expected tables [checkpoint.NAME]")
    if name not in entries:
        raise ConfigError(f"{path} has no archive {name!r}: it has {', '.join(entries) or 'none'}")
    entry = entries[name]
    size, sha256 = entry.get("size"), entry.get("sha256")
    if not isinstance(entry.get("url"), str) or not (size is None or isinstance(size, int)):
        raise ConfigError(f"{path}: {name} needs a url, and a size that is a whole number of bytes if any")
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        raise ConfigError(f"{path}: the sha256 of {name} is not 64 hexadecimal digits")
    return LockedArchive(name, entry["url"], size, sha256)
