"""Packs artifacts as the hub served them, and as nobody should."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path


def packed(artifact: Path, path: Path, prefix: str = "") -> Path:
    """A ``.tar.gz`` of an artifact whose members' names begin with ``prefix``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(artifact.rglob("*")):
            tar.add(file, prefix + file.relative_to(artifact).as_posix(), recursive=False)
    return path


def with_members(path: Path, files: Mapping[str, bytes], links: Mapping[str, str]) -> Path:
    """A ``.tar.gz`` of files by name and content, and of symbolic links by name and target."""
    with tarfile.open(path, "w:gz") as tar:
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
