"""What this machine has for nasexport, and what is missing for what: versions, devices, extras, cache and pins."""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import exporter
from exporter.errors import ConfigError, DeviceError, NasexportError
from exporter.fetch.cache import Cache
from exporter.fetch.lock import LockedArchive, locked_archives
from exporter.files import tree
from exporter.models.formats import FORMATS
from exporter.processes import device, run
from exporter.processes.jobs import FIND_CARD, FindCardRequest
from exporter.processes.memory import cores
from exporter.progress import SILENT, Listener
from exporter.settings import Settings, config_file

#: The packages whose versions decide what comes out.
_PACKAGES = ("tensorflow", "tensorflow-hub", "keras", "tf-keras", "tf-slim", "numpy", "h5py")
#: What the packages of `publish` are for: the addresses of targets and stores.
_STORES = {
    "fsspec": "https:// and others that fsspec reads",
    "huggingface-hub": "hf://",
    "s3fs": "s3://",
    "gcsfs": "gs://",
    "kagglehub": "kaggle://",
}
#: Extras that are no format's: their packages, and what needs them.
_OTHER_EXTRAS = {
    "cluster": (("distributed", "cryptography"), "evaluate or embed with --workers or --cluster"),
    "images": (("pillow",), "predict or evaluate on WebP, BMP and TIFF files"),
    "parquet": (("pyarrow",), "embed with a .parquet file as its output"),
    "publish": (tuple(_STORES), ""),
    "sign": (("cryptography", "securesystemslib", "sigstore"), "release sign or release verify --signed-by"),
}
#: What a processor can do that TensorFlow makes use of.
_FEATURES = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_tile", "asimd", "sve")


@dataclass(frozen=True)
class Extra:
    """An extra of this package: the versions of its packages, None where one is missing, and what needs them."""

    name: str
    packages: dict[str, str | None]
    needed_for: str

    @property
    def missing(self) -> list[str]:
        return [name for name, version in self.packages.items() if version is None]


@dataclass(frozen=True)
class Card:
    """The graphics card that TensorFlow finds; without one, ``name`` is None and ``reason`` says why."""

    name: str | None
    reason: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    ``packages`` has versions by name, None where one is missing. ``memory``, ``free_memory`` and ``free_disk``, that of
    the folder for temporary files, are in bytes; so is ``cache_size``. ``pins`` says of each archive of the lock file
    whether it is pinned. ``problems`` are what keeps commands from working, each in a line.
    """

    nasexport: str
    python: str
    system: str
    packages: dict[str, str | None]
    processor: str
    features: list[str]
    cores: int
    all_cores: int
    memory: int
    free_memory: int
    card: Card
    extras: list[Extra]
    cache: Path
    cached: list[str]
    cache_size: int
    lock: Path
    pins: dict[str, bool]
    configuration: Path
    configured: bool
    temporary: Path
    free_disk: int
    problems: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        facts = {**vars(self), "card": vars(self.card)}
        facts["extras"] = [{**vars(extra), "missing": extra.missing} for extra in self.extras]
        return {name: str(value) if isinstance(value, Path) else value for name, value in facts.items()}


def diagnose(settings: Settings, *, listener: Listener = SILENT, debug: bool = False) -> Diagnosis:
    """Looks at everything; TensorFlow is asked in a process of its own, which takes seconds."""
    import psutil

    problems: list[str] = []
    memory = psutil.virtual_memory()
    cache, temporary = settings.cache, Path(tempfile.gettempdir())
    pins = _tried(lambda: locked_archives(settings.lock), {}, problems)
    packages = {name: _version(name) for name in _PACKAGES}
    problems += [f"{name} is not installed: pip install nasexport" for name, version in packages.items() if not version]
    problems += [
        f"{folder} cannot be written: name another with {how}"
        for folder, how in ((cache, "--cache-dir"), (temporary, "TMPDIR"))
        if not _writable(folder)
    ]
    return Diagnosis(
        nasexport=exporter.__version__,
        python=platform.python_version(),
        system=platform.platform(),
        packages=packages,
        processor=_processor("model name") or platform.processor() or platform.machine(),
        features=[name for name in _FEATURES if name in (_processor("flags") or _processor("Features")).split()],
        cores=cores(),
        all_cores=os.cpu_count() or 1,
        memory=memory.total,
        free_memory=memory.available,
        card=_card(listener, problems, debug),
        extras=list(extras()),
        cache=cache,
        cached=[entry.name for entry in Cache(cache).entries()],
        cache_size=tree.size(cache) if cache.is_dir() else 0,
        lock=settings.lock,
        pins={name: locked.pinned for name, locked in pins.items()},
        configuration=config_file(),
        configured=config_file().is_file(),
        temporary=temporary,
        free_disk=shutil.disk_usage(temporary).free,
        problems=problems,
    )


def _tried(
    find: Callable[[], dict[str, LockedArchive]], otherwise: dict[str, LockedArchive], problems: list[str]
) -> dict[str, LockedArchive]:
    try:
        return find()
    except ConfigError as error:
        problems.append(_line(error))
        return otherwise


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _writable(folder: Path) -> bool:
    """Whether there can be files in a folder, which need not be there yet."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _processor(field: str) -> str:
    """What the kernel says of the first core; empty where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in found if name.strip() == field), "")


def _card(listener: Listener, problems: list[str], debug: bool) -> Card:
    listener.step("asking TensorFlow for a graphics card")
    try:
        with device.using("gpu"):
            name = run.run(FIND_CARD, FindCardRequest(), listener.note, debug).result.name
        return Card(name.removeprefix("GPU "))
    except DeviceError as error:
        return Card(None, str(error).splitlines()[0])
    except NasexportError as error:
        problems.append(_line(error))
        return Card(None, "TensorFlow did not say")


def extras() -> Iterator[Extra]:
    """Every extra of this package, and what is installed of it."""
    needed = {
        spec.extra: ((*spec.packages, *spec.running_packages), f"build, verify or predict of format {spec.name}")
        for spec in FORMATS.values()
        if spec.extra
    }
    for name, (packages, needed_for) in sorted((needed | _OTHER_EXTRAS).items()):
        found = {package: _version(package) for package in packages}
        if name == "publish":
            # Each kind of address takes another one: what there is works without the others.
            kinds = [kind for package, kind in _STORES.items() if not found[package]] or list(_STORES.values())
            needed_for = f"addresses that begin with {', '.join(kinds)}"
        yield Extra(name, found, needed_for)
