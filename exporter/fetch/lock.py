"""``checkpoints.lock``: where each archive is published, and which bytes it must have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from exporter.errors import ConfigError
from exporter.files import staging
from exporter.files.hashing import Sha256
from exporter.validation import MOST_TOML, at_least, convert, parse_toml, read

#: A name that goes into paths.
_Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z",
        description="a name of letters, digits, and ._- alone, at most 100",
    ),
]


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


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the lock file says of one archive."""

    url: str
    size: Annotated[int, at_least(0)] | None = None
    sha256: Sha256 | None = None
    files: dict[str, Sha256] = {}

    def __post_init__(self) -> None:
        if (self.size is None) != (self.sha256 is None):
            raise ValueError("it has only one of size and sha256, expected both, as of a pinned archive, or none")


class _LockFile(msgspec.Struct, frozen=True):
    """The lock file, which may say other things, too."""

    checkpoint: dict[_Name, _Entry] = {}


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

    def refusal(problem: str) -> ConfigError:
        return ConfigError(f"{lock_file}: {problem}")

    try:
        content = read(lock_file, MOST_TOML, refusal)
    except OSError as error:
        raise ConfigError(f"cannot read the lock file {lock_file}: {error.strerror}") from error
    entries = convert(parse_toml(content, refusal), _LockFile, refusal).checkpoint
    return {
        name: LockedArchive(name, entry.url, lock_file, entry.size, entry.sha256, entry.files)
        for name, entry in entries.items()
    }


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
