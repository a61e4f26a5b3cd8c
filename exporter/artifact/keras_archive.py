"""Reads ``model.keras``: the layers of its network, and what it says of itself, without its weights."""

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from exporter.errors import ArtifactError, NasexportError, reason
from exporter.models.formats import KERAS_FILE
from exporter.validation import parse_json

#: What claims to be so many times larger than what is stored of it would fill the memory.
MOST_EXPANSION = 100
_BLOCK = 2**20


@dataclass(frozen=True)
class KerasFile:
    """``config`` is the network's configuration, ``metadata`` what the file says of itself, both as JSON values."""

    path: Path
    config: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def layers(self) -> list[dict[str, Any]]:
        """The layers of the network, in Keras's order."""
        found: list[dict[str, Any]] = self.config["config"]["layers"]
        return found


def read(folder: Path) -> KerasFile:
    """The file in a folder, without its weights.

    Raises:
        ArtifactError: it is damaged, or no functional network.
    """
    path = folder / KERAS_FILE
    config, metadata = (_json(path, name) for name in ("config.json", "metadata.json"))
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(layers, list) or not all(map(_is_layer, layers)):
        raise ArtifactError(f"{path} is no functional network: its config.json has no list of layers")
    return KerasFile(path, config, metadata if isinstance(metadata, dict) else {})


def damaged(path: Path, problem: str) -> ArtifactError:
    return ArtifactError(f"{path} is damaged: {problem}")


def copy(path: Path, name: str, target: IO[bytes]) -> None:
    """Copies a member of the zip file that a network is.

    Raises:
        ArtifactError: it is damaged: its checksum is looked at.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(name)
            if expands(member.file_size, member.compress_size):
                raise damaged(path, f"{name} is larger than what is stored of it")
            with archive.open(member) as source:
                while block := source.read(_BLOCK):
                    target.write(block)
    except KeyError as error:
        raise damaged(path, f"it lacks {name}") from error
    except NasexportError:
        raise
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise damaged(path, f"it is no zip file, or one that is not whole: {reason(error)}") from error


def expands(size: int, stored: int) -> bool:
    """Whether something claims to be far larger than what is stored of it."""
    return size > MOST_EXPANSION * max(stored, _BLOCK)


def _json(path: Path, name: str) -> Any:
    content = io.BytesIO()
    copy(path, name, content)
    return parse_json(content.getvalue(), lambda problem: damaged(path, f"{name}: {problem}"))


def _is_layer(layer: Any) -> bool:
    return isinstance(layer, dict) and all(
        isinstance(layer.get(name), kind) for name, kind in (("class_name", str), ("name", str), ("config", dict))
    )
