"""Where archives come from and where they are kept, as the user decides it."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import platformdirs

from exporter.errors import ConfigError
from exporter.resources import resource
from exporter.validation import at_least, convert, parse_toml

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


class _Choices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What a configuration file may say: the options of the command line, by their names."""

    cache_dir: str | None = None
    lock_file: str | None = None
    mirror: tuple[str, ...] = ()
    offline: bool = False
    frozen: bool = False
    timeout: Annotated[int, at_least(1)] | Annotated[float, msgspec.Meta(ge=0.1, le=sys.float_info.max)] = 60
    retries: Annotated[int, at_least(0)] = 5


def config_file() -> Path:
    """The user's configuration file; it need not exist."""
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named) if named else platformdirs.user_config_path("nasexport") / "config.toml"


def read_config() -> dict[str, Any]:
    """The user's choices by option name; none where there is no file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has an option that does not exist or a value that fits none.
    """
    path = config_file()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if CONFIG_VARIABLE in os.environ:
            raise ConfigError(f"{CONFIG_VARIABLE} names {path}, which does not exist") from None
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error.strerror}") from error

    def refusal(problem: str) -> ConfigError:
        return ConfigError(f"{path}: {problem}")

    values = parse_toml(content, refusal)
    convert(values, _Choices, refusal)
    return values
