"""The members of tar and zip archives, one after the other, read within bounds of time and memory.

`tarfile` and `zipfile` trust what an archive says of itself: a name may have gigabytes, a chain of headers no end. Here
all that is not the content of a file is limited before they read it.
"""

import contextlib
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from exporter.files.decompression import DamagedError, Readable, require_sane

#: Bytes of all headers of one member, without the plain one; of those of all members; of a zip file's directory.
_MAX_HEADER, _MAX_HEADERS, _MAX_DIRECTORY = 16 * 2**10, 2**20, 4 * 2**20
#: A long name, a long link, a header of POSIX's and a global one may precede a member.
_MAX_HEADERS_OF_ONE = 4
_EXTENDED = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}


@dataclass(frozen=True)
class Member:
    """A member of an archive: its name there, and its size in bytes.

    ``problem`` says why it is nothing that an archive of plain files has: "a link or a device". ``content`` is that of
    a file; None for a folder. It must be read before the next member.
    """

    name: str
    size: int
    problem: str | None = None
    content: Readable | None = None


def tar_members(content: Readable) -> Iterator[Member]:
    """The members of a tar file, which is read from its start to its end.

    Raises:
        DamagedError: it is none, or not whole.
    """
    metered, headers = _Metered(content), _headers()
    with contextlib.ExitStack() as stack:
        metered.allow(_MAX_HEADERS_OF_ONE * _MAX_HEADER)
        with _damage():
            how: dict[str, Any] = {"fileobj": metered, "mode": "r|", "bufsize": _MAX_HEADER, "tarinfo": headers}
            members = stack.enter_context(tarfile.open(**how))
        while True:
            metered.allow(_MAX_HEADERS_OF_ONE * _MAX_HEADER)
            headers.begin()
            with _damage():
                member = members.next()
            metered.allow(None)
            if member is None:
                return
            yield _tar_member(members, member)


def _tar_member(members: tarfile.TarFile, member: tarfile.TarInfo) -> Member:
    if member.size < 0:
        raise DamagedError(f"a member has {member.size} bytes")
    if member.isdir():
        return Member(member.name, 0)
    if member.issparse():
        return Member(member.name, member.size, f"a sparse file of {member.size:,} bytes")
    if not member.isreg():
        return Member(member.name, member.size, "a link or a device")
    return Member(member.name, member.size, content=_Content(lambda: members.extractfile(member)))


class _Metered:
    """A tar file whose headers have an end: while there is an allowance, no more than that is read."""

    def __init__(self, content: Readable):
        self._content = content
        self._left: int | None = None

    def allow(self, count: int | None) -> None:
        """Sets the allowance, in bytes; None for what has been told in a header."""
        self._left = count

    def read(self, size: int) -> bytes:
        piece = self._content.read(size)
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise DamagedError("the headers of a member have no end")
        return piece


def _headers() -> Any:
    """A class of members for `tarfile` that refuses headers which are too long or too many, of one archive."""

    class Header(tarfile.TarInfo):
        _in_a_row = _in_all = _headers = 0

        @classmethod
        def begin(cls) -> None:
            cls._in_a_row = 0

        @classmethod
        def frombuf(cls, buf: Any, encoding: str, errors: str) -> "Header":
            try:
                header = super().frombuf(buf, encoding, errors)
            except tarfile.HeaderError as error:
                if not any(buf):  # the end
                    raise
                what = (
                    "a header in it is damaged" if cls._headers else f"it is no tar file, but begins with {buf[:16]!r}"
                )
                raise DamagedError(what) from error
            cls._headers += 1
            if header.size < 0:
                raise DamagedError(f"a member has {header.size} bytes")
            if header.type == tarfile.GNUTYPE_SPARSE:
                raise DamagedError("it has a sparse file")
            if header.type in _EXTENDED:
                cls._in_a_row += 1
                cls._in_all += header.size
                if header.size > _MAX_HEADER or cls._in_all > _MAX_HEADERS:
                    raise DamagedError(f"a member has a name or other header of {header.size:,} bytes")
                if cls._in_a_row > _MAX_HEADERS_OF_ONE:
                    raise DamagedError("a member has one header after the other")
            return header

    return Header


def zip_members(file: IO[bytes]) -> Iterator[Member]:
    """The members of a zip file.

    Raises:
        DamagedError: it is none, or not whole.
    """
    with contextlib.ExitStack() as stack:
        with _damage():
            members = stack.enter_context(zipfile.ZipFile(_Bounded(file)))
        for info in members.infolist():
            yield _zip_member(members, info)


def _zip_member(members: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.is_dir():
        return Member(info.filename, 0)
    if kind not in (0, stat.S_IFREG):
        return Member(info.filename, info.file_size, "a link or a device")
    if info.flag_bits & 1:
        return Member(info.filename, info.file_size, "encrypted")
    if info.compress_type not in _ZIP_METHODS:
        return Member(info.filename, info.file_size, f"compressed by the method {info.compress_type}")
    require_sane(info.file_size, info.compress_size)
    return Member(info.filename, info.file_size, content=_Content(lambda: members.open(info)))


class _Content:
    """The content of a member, opened when it is read; what its reader raises is a DamagedError."""

    def __init__(self, open_: Callable[[], Any]):
        self._open = open_
        self._file: Any = None

    def read(self, size: int) -> bytes:
        with _damage():
            if self._file is None:
                self._file = self._open()
            return bytes(self._file.read(size))


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Within it, whatever a reader raises is a DamagedError, unless it is one of the disk."""
    try:
        yield
    except DamagedError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedError(str(error)) from error
    # tarfile and zipfile let through what struct, zlib, codecs and int raise for what is no archive.
    except Exception as error:
        raise DamagedError(str(error) or type(error).__name__) from error


class _Bounded:
    """A zip file of which no part is read at once that is larger than any directory should be."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.tell, self.seekable = file.tell, file.seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError) as error:
            raise DamagedError("something in it is said to be where no file is") from error

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size if 0 <= size <= _MAX_DIRECTORY else _MAX_DIRECTORY + 1)
        if len(piece) > _MAX_DIRECTORY:
            raise DamagedError(f"its directory has more than {_MAX_DIRECTORY:,} bytes")
        return piece
