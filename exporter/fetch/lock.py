"""``checkpoints.lock``: where each archive is published, and which bytes it must have."""

import contextlib
import copy
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from exporter.errors import ConfigError
from exporter.files import staging
from exporter.files.hashing import Sha256
from exporter.validation import MOST_TOML, Refusal, at_least, convert, parse_toml, read

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
    file's sha256. ``lock_file`` is where this is written. ``synthetic`` says that its weights are made up, and that it
    only stands in for the published archive.
    """

    name: str
    url: str
    lock_file: Path
    size: int | None = None
    sha256: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    synthetic: bool = False

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
    synthetic: bool = False

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
    try:
        content = read(lock_file, MOST_TOML, _refusal(lock_file))
    except OSError as error:
        raise ConfigError(f"cannot read the lock file {lock_file}: {error.strerror}") from error
    return {
        name: LockedArchive(name, entry.url, lock_file, entry.size, entry.sha256, entry.files, entry.synthetic)
        for name, entry in _entries(content, lock_file).items()
    }


def _entries(content: bytes, lock_file: Path) -> dict[str, _Entry]:
    refusal = _refusal(lock_file)
    return convert(parse_toml(content, refusal), _LockFile, refusal).checkpoint


def _refusal(lock_file: Path) -> Refusal:
    return lambda problem: ConfigError(f"{lock_file}: {problem}")


def write_entry(archive: LockedArchive, waiting: Callable[[], object] = lambda: None) -> None:
    """Writes what ``archive`` pins into its lock file; comments and other entries stay as they are.

    Others may write other entries at the same time: one waits for the other. A link stays one.

    Args:
        waiting: called once where another process writes the file, before waiting for it.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    with changing(archive.lock_file, waiting):
        content = with_entry(archive.lock_file.read_bytes(), archive)
        mode = archive.lock_file.stat().st_mode & 0o777
        with staging.replacing(archive.lock_file, follow_link=True) as temporary:
            temporary.write_bytes(content)
            temporary.chmod(mode)


@contextlib.contextmanager
def changing(lock_file: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Within it, no other process changes the lock file, whatever its cache.

    Raises:
        ConfigError: it cannot be written.
    """
    path = Path(os.path.realpath(lock_file))
    try:
        with staging.in_turn(path.with_name(f".{path.name}.lock"), waiting, keep=False):
            yield
    except OSError as error:
        raise ConfigError(
            f"cannot write the lock file {lock_file}: {error.strerror}; --lock-file names another one"
        ) from error


def with_entry(content: bytes, archive: LockedArchive) -> bytes:
    """The content of a lock file with what ``archive`` pins in its entry, in whatever way of TOML that is written.

    Raises:
        ConfigError: it is not valid, has no such entry, or has it in a form that cannot be changed.
    """
    refusal = _refusal(archive.lock_file)
    wanted = copy.deepcopy(parse_toml(content, refusal))
    if archive.name not in _entries(content, archive.lock_file):
        raise ConfigError(f"{archive.lock_file} has no archive {archive.name!r} any more")
    fields = _fields(archive)
    wanted["checkpoint"][archive.name] = {"url": wanted["checkpoint"][archive.name]["url"], **fields}
    for inline in (False, True):
        with contextlib.suppress(ConfigError, ValueError, LookupError, TypeError, AttributeError):
            changed = _edited(content, archive.name, fields, inline)
            if parse_toml(changed, refusal) == wanted:
                return changed
    raise ConfigError(
        f"{archive.lock_file} has {archive.name} in a form that cannot be changed without others:\n"
        f'expected it as a table of its own, [checkpoint."{archive.name}"]'
    )


def _fields(archive: LockedArchive) -> dict[str, Any]:
    """What is written of a pin, in the order of the file."""
    files = dict(sorted(archive.files.items()))
    pin = {"size": archive.size, "sha256": archive.sha256}
    return {**pin, "synthetic": True, "files": files} if archive.synthetic else {**pin, "files": files}


def _edited(content: bytes, name: str, fields: Mapping[str, Any], inline: bool) -> bytes:
    """The content with the fields of an entry set, of which ``files`` is an inline table or one of its own.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: tomlkit cannot change it.
    """
    import tomlkit  # keeps comments, which tomllib does not; only needed here
    from tomlkit.items import InlineTable

    document = tomlkit.parse(content.decode())
    entries: Any = document["checkpoint"]
    entry = entries[name]
    for field_ in ("size", "sha256", "synthetic", "files"):
        if field_ not in fields and field_ in entry:
            del entry[field_]
        elif field_ in fields and field_ != "files":
            entry[field_] = fields[field_]
    inline = inline or isinstance(entry, InlineTable) or isinstance(entries, InlineTable)
    files: Any = tomlkit.inline_table() if inline else tomlkit.table()
    for path, digest in fields["files"].items():
        files.add(tomlkit.key(path), digest)
    if not inline:
        files.add(tomlkit.nl())
    entry["files"] = files
    return tomlkit.dumps(document).rstrip("\r\n").encode() + b"\n"
