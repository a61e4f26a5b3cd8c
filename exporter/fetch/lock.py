"""``checkpoints.lock``: where each archive is published, and which bytes it must have."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.errors import ConfigError
from exporter.files import staging

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class LockedArchive:
    """A published archive.

    ``size`` (bytes) and ``sha256`` are None while it is not pinned. ``files`` maps the path of each file in it to the
    file's sha256. ``lock_file`` is where this is written.
    """

    name: str
    url: str
    lock_file: Path
    size: int | None = None
    sha256: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def pinned(self) -> bool:
        return self.sha256 is not None and self.size is not None

    @property
    def file_name(self) -> str:
        return f"{self.name}.tar.gz"


def locked_archive(name: str, lock_file: Path) -> LockedArchive:
    """The entry of that name.

    Raises:
        ConfigError: as `locked_archives`, and where there is no such entry.
    """
    entries = locked_archives(lock_file)
    if name not in entries:
        raise ConfigError(f"{lock_file} has no archive {name!r}: it has {', '.join(entries) or 'none'}")
    return entries[name]


def locked_archives(lock_file: Path) -> dict[str, LockedArchive]:
    """Every entry, by name.

    Raises:
        ConfigError: the lock file cannot be read or is not valid.
    """
    return {name: _archive(name, entry, lock_file) for name, entry in _entries(lock_file).items()}


def _archive(name: str, entry: dict[str, Any], lock_file: Path) -> LockedArchive:
    if unknown := sorted(set(entry) - {"url", "size", "sha256", "files"}):
        raise ConfigError(f"{lock_file}: {name} has {', '.join(unknown)}: expected url, size, sha256 and files")
    url, size, sha256, files = entry.get("url"), entry.get("size"), entry.get("sha256"), entry.get("files", {})
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{lock_file}: {name!r} is no name of an archive: expected letters, digits, and ._- alone")
    if not isinstance(url, str) or not (size is None or (type(size) is int and size >= 0)):
        raise ConfigError(f"{lock_file}: {name} needs a url, and a size that is a whole number of bytes if any")
    if sha256 is not None and not _is_sha256(sha256):
        raise ConfigError(f"{lock_file}: the sha256 of {name} is not 64 hexadecimal digits")
    if (size is None) != (sha256 is None):
        raise ConfigError(f"{lock_file}: {name} has only one of size and sha256: a pinned archive has both")
    if not isinstance(files, dict) or not all(_is_sha256(value) for value in files.values()):
        raise ConfigError(f"{lock_file}: the files of {name} are not a table of paths and their sha256")
    return LockedArchive(name, url, lock_file, size, sha256, dict(files))


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _entries(lock_file: Path) -> dict[str, dict[str, Any]]:
    try:
        entries = tomllib.loads(lock_file.read_text(encoding="utf-8")).get("checkpoint", {})
    except OSError as error:
        raise ConfigError(f"cannot read the lock file {lock_file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{lock_file} is not valid TOML: {error}") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ConfigError(f"{lock_file} is not a lock file: expected tables [checkpoint.NAME]")
    return entries


def write_entry(archive: LockedArchive) -> None:
    """Writes what ``archive`` pins into its lock file; comments and other entries stay as they are.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    import tomlkit  # keeps comments, which tomllib does not; only needed here

    path = archive.lock_file
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
        entry: Any = document["checkpoint"][archive.name]
        entry["size"] = archive.size
        entry["sha256"] = archive.sha256
        files = tomlkit.table()
        for name, digest in sorted(archive.files.items()):
            files.add(tomlkit.key(name), digest)
        files.add(tomlkit.nl())
        entry["files"] = files
        with staging.replacing(path) as temporary:
            temporary.write_text(tomlkit.dumps(document).rstrip("\n") + "\n", encoding="utf-8")
            temporary.chmod(path.stat().st_mode & 0o777)
    except OSError as error:
        raise ConfigError(
            f"cannot write the lock file {path}: {error.strerror}; --lock-file names another one"
        ) from error
