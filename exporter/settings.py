"""Where archives come from and where they are kept, as the user decides it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from exporter.errors import ConfigError
from exporter.resources import resource

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Names another configuration file than the one in the platform's folder for these.
CONFIG_VARIABLE = "NASEXPORT_CONFIG"


@dataclass(frozen=True)
class Settings:
    """How to get archives. The command line fills it from options, the environment and the user's file.

    ``cache_dir`` and ``lock_file`` are None for the platform's cache folder and the lock file that ships with the
    package. ``mirrors`` are http, https or file URLs, or folders, asked in their order before the published address.
    ``timeout`` is the time in seconds to wait for a server's next bytes; ``retries`` the number of times that a
    transfer is tried again. ``frozen`` refuses whatever is not pinned, ``offline`` whatever needs the network.
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
        return self.cache_dir or platformdirs.user_cache_path("nasexport")

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.lock_file or resource("checkpoints.lock")


#: What a configuration file may say: the options' names.
OPTIONS = ("cache-dir", "lock-file", "mirror", "offline", "frozen", "timeout", "retries")


def config_file() -> Path:
    """The user's configuration file; it need not exist."""
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named) if named else platformdirs.user_config_path("nasexport") / "config.toml"


def read_config() -> dict[str, Any]:
    """The user's choices by option name; none where there is no file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an option that does not exist.
    """
    path = config_file()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if CONFIG_VARIABLE in os.environ:
            raise ConfigError(f"{CONFIG_VARIABLE} names {path}, which does not exist") from None
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    for name, value in values.items():
        if name not in OPTIONS:
            raise ConfigError(f"{path} sets {name!r}, which is no option: it may set {', '.join(OPTIONS)}")
        if not _FITS[name](value):
            raise ConfigError(f"{path} sets {name} to {value!r}, which is not valid for it")
    return values


def _number(low: float):
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value >= low


_FITS = {
    "cache-dir": lambda value: isinstance(value, str),
    "lock-file": lambda value: isinstance(value, str),
    "mirror": lambda value: isinstance(value, list) and all(isinstance(url, str) for url in value),
    "offline": lambda value: isinstance(value, bool),
    "frozen": lambda value: isinstance(value, bool),
    "timeout": _number(0.1),
    "retries": lambda value: isinstance(value, int) and _number(0)(value),
}
