"""Gets the published archives: from the cache, or by a hash-checked download into it."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import platformdirs

from exporter import source
from exporter.config import ModelConfig
from exporter.errors import ConfigError, FetchError
from exporter.lock import LockedArchive, locked_archive

#: Names another cache folder than the platform's.
CACHE_VARIABLE = "NASEXPORT_CACHE_DIR"
#: Seconds to wait for a connection, and for each next piece of data.
_TIMEOUTS = (10, 60)
_CHUNK = 2**20


def cache_folder() -> Path:
    """Where archives are kept; it may not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_path("nasexport")) / "archives"


def cached_archive(config: ModelConfig) -> Path | None:
    """The model's archive in the cache; None where it is not there."""
    path = cache_folder() / f"{config.checkpoint}.tar.gz"
    return path if config.checkpoint and path.is_file() else None


def fetch(
    config: ModelConfig, report: Callable[[str], None] = lambda _: None, warn: Callable[[str], None] = lambda _: None
) -> Path:
    """The model's archive, from the cache or its server; a pinned one has the locked bytes.

    Raises:
        ConfigError: the model has no published archive.
        FetchError: it cannot be downloaded, or its bytes are not the locked ones.
    """
    if config.checkpoint is None:
        raise ConfigError(f"{config.name} has no published archive: pass --checkpoint with a file")
    locked = locked_archive(config.checkpoint)
    path = cached_archive(config)
    if path is None:
        path = cache_folder() / f"{locked.name}.tar.gz"
        report(f"downloading {locked.url}")
        _download(locked, path, warn)
    elif locked.sha256:
        report("checking the cached archive")
        _require_locked(locked, source.sha256(path), path.stat().st_size, f"{path} in the cache")
    return path


def _download(locked: LockedArchive, path: Path, warn: Callable[[str], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise FetchError(f"cannot write to the cache {path.parent}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            digest, size = _transfer(locked.url, file)
        _require_locked(locked, digest, size, locked.url)
        os.replace(partial, path)
    except OSError as error:
        raise FetchError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
    if locked.sha256 is None:
        warn(f"{locked.name} is not pinned in checkpoints.lock; the {size} bytes downloaded have sha256 {digest}")


def _transfer(url: str, file: IO[bytes]) -> tuple[str, int]:
    """Copies what a server sends; the sha256 and the number of bytes."""
    import requests  # takes longer to import than most commands take to answer

    digest, size = hashlib.sha256(), 0
    hint = "pass --checkpoint with a copy you have, or try again"
    try:
        with requests.get(url, stream=True, timeout=_TIMEOUTS, headers={"Accept-Encoding": "identity"}) as response:
            response.raise_for_status()
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            stated = response.headers.get("Content-Length", "")
    except requests.HTTPError as error:
        raise FetchError(f"{url} answers {error.response.status_code} {error.response.reason}: {hint}") from error
    except requests.RequestException as error:
        raise FetchError(f"cannot download {url} ({_reason(error)}): {hint}") from error
    if stated.isdecimal() and int(stated) != size:
        raise FetchError(f"{url} sent {size} of {stated} bytes: {hint}")
    return digest.hexdigest(), size


def _reason(error: Exception) -> str:
    """The innermost cause, which says it in the fewest words."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    return " ".join(str(reason or error).split())[:160]


def _require_locked(locked: LockedArchive, digest: str, size: int, what: str) -> None:
    if locked.size is not None and size != locked.size:
        raise FetchError(
            f"{what} has {size} bytes, but checkpoints.lock says {locked.size}: it is not the published file"
        )
    if locked.sha256 is not None and digest != locked.sha256:
        raise FetchError(
            f"{what} has sha256 {digest},\nbut checkpoints.lock says {locked.sha256}: it is not the published file"
        )
