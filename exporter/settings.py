"""The user's settings for fetching archives and for the cache."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import platformdirs

from exporter.errors import ConfigError
from exporter.resources import resource
from exporter.validation import MOST_TOML, at_least, convert, parse_toml, read

#: The environment variable with the path of another configuration file than the platform's default.
CONFIG_VARIABLE = "NASEXPORT_CONFIG"
#: The bounds of ``timeout``, in seconds, and the most of ``retries``.
SHORTEST_TIMEOUT, LONGEST_TIMEOUT = 0.1, 86_400
MOST_RETRIES = 1000
#: The name of the lock file, in the package and in projects.
LOCK_FILE = "checkpoints.lock"
#: In place of a folder below the user's home where there is no home, or none that has an absolute path: reading finds
#: nothing there, and writing fails and names it.
_NO_HOME = Path(os.devnull, "there-is-no-home-folder", "nasexport")


@dataclass(frozen=True)
class Settings:
    """How to fetch archives. The command line fills it from its options, the environment and the configuration file.

    ``cache_dir`` and ``lock_file`` are None for the platform's cache folder and the project's lock file, or the one
    that ships with the package where there is none. ``mirrors`` are http, https or file URLs, or folders, tried in this
    order before the published address. ``timeout`` is the time in seconds to wait for a server's first byte, in all,
    and then for its next ones;
    ``retries`` the number of times that a transfer is retried. With ``frozen``, files that are not pinned are refused;
    with ``offline``, downloads are.
    """

    cache_dir: Path | None = None
    lock_file: Path | None = None
    mirrors: tuple[str, ...] = ()
    offline: bool = False
    frozen: bool = False
    timeout: float = 60.0
    retries: int = 5

    @property
    def cache(self) -> Path:
        """The folder of the cache; it may not exist yet."""
        return self.cache_dir or _below_home(platformdirs.user_cache_path)

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.lock_file or project_lock_file() or resource(LOCK_FILE)


def project_lock_file() -> Path | None:
    """``checkpoints.lock`` in the current folder or the nearest one above it that has one; None where none has."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return None
    places = (folder / LOCK_FILE for folder in (here, *here.parents))
    return next((place for place in places if os.path.isfile(place)), None)  # noqa: PTH113 - never raises


_Seconds = (
    Annotated[int, at_least(1, LONGEST_TIMEOUT)]
    | Annotated[float, msgspec.Meta(ge=SHORTEST_TIMEOUT, le=LONGEST_TIMEOUT)]
)
_Text = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]+\Z", description="a text that is not empty and has no NUL")]


class _ConfigFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The content of a configuration file: options of the command line, by their names."""

    cache_dir: _Text | None = None
    lock_file: _Text | None = None
    mirror: tuple[_Text, ...] = ()
    offline: bool = False
    frozen: bool = False
    timeout: _Seconds = 60
    retries: Annotated[int, at_least(0, MOST_RETRIES)] = 5


def config_file() -> Path:
    """The path of the user's configuration file, which may not exist."""
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named) if named else _below_home(platformdirs.user_config_path) / "config.toml"


def _below_home(find: Callable[[str], Path]) -> Path:
    """A folder of the user's, or `_NO_HOME`: without HOME, a user whom the system does not know has none."""
    try:
        path = find("nasexport")
    except RuntimeError:
        return _NO_HOME
    return path if path.is_absolute() else _NO_HOME


def read_config() -> dict[str, Any]:
    """The values of the configuration file by option name; empty where there is no file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has an unknown option or an invalid value.
    """
    path = config_file()

    def refusal(problem: str) -> ConfigError:
        return ConfigError(f"{path}: {problem}")

    try:
        content = read(path, MOST_TOML, refusal)
    except (FileNotFoundError, NotADirectoryError):
        if CONFIG_VARIABLE in os.environ:
            raise ConfigError(f"{CONFIG_VARIABLE} names {path}, which does not exist") from None
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error
    values = parse_toml(content, refusal)
    convert(values, _ConfigFile, refusal)
    return values
