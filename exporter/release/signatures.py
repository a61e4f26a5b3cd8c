"""The signatures of a release, as files: envelopes around its provenance, which has the hashes of all other files.

A release may have one by a key (`DSSE_FILE`, see `exporter.release.keys`), one by an identity (`BUNDLE_FILE`, see
`exporter.release.keyless`), both, or none. They are no files of the release: neither its sums nor its provenance name
them, as they are made of the provenance. Whose they are is not known here, without the libraries for that; what they
are around is.
"""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from exporter.errors import ReleaseError
from exporter.release.manifest import PROVENANCE_FILE
from exporter.validation import convert, parse_json

#: An envelope (DSSE) that a key signed, and what sigstore calls a bundle, with an envelope in it.
DSSE_FILE, BUNDLE_FILE = "provenance.dsse.json", "provenance.sigstore.json"
#: By what each was made, as a message says it.
KINDS = {DSSE_FILE: "a key", BUNDLE_FILE: "an identity"}
PAYLOAD_TYPE: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"
#: A provenance has some 200 bytes for each file of a release, a bundle some ten thousand more in base64.
_LARGEST = 2**24

_Base64 = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9+/]+=*\Z", description="base64")]
T = TypeVar("T")


class KeySignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature; ``keyid`` is the key's fingerprint as OpenSSH shows it, and nothing but a hint which one to try."""

    keyid: Annotated[str, msgspec.Meta(pattern=r"\ASHA256:[A-Za-z0-9+/]{43}\Z", description="a fingerprint, SHA256:…")]
    sig: _Base64


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The content of `DSSE_FILE`."""

    payload: _Base64
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[tuple[KeySignature, ...], msgspec.Meta(min_length=1, max_length=1)]


class _InnerEnvelope(msgspec.Struct, frozen=True, rename="camel"):
    payload: _Base64
    payload_type: Literal["application/vnd.in-toto+json"]


class _Bundle(msgspec.Struct, frozen=True, rename="camel"):
    """What of `BUNDLE_FILE` can be understood without sigstore."""

    dsse_envelope: _InnerEnvelope


def present(release: Path) -> list[str]:
    """The names of the signatures that a release has."""
    return [name for name in KINDS if (release / name).is_symlink() or (release / name).exists()]


def read_provenance(release: Path) -> bytes:
    """The provenance of a release, whatever is in it.

    Raises:
        ReleaseError: it cannot be read, or is larger than any.
    """
    return _content(release / PROVENANCE_FILE)


def read_envelope(release: Path) -> Envelope:
    """The envelope that a key signed.

    Raises:
        ReleaseError: it is damaged.
    """
    return _read(release / DSSE_FILE, Envelope)


def read_bundle(release: Path) -> bytes:
    """What `BUNDLE_FILE` holds, for sigstore to understand.

    Raises:
        ReleaseError: it cannot be read, or is larger than any.
    """
    return _content(release / BUNDLE_FILE)


def problems(release: Path, provenance: bytes) -> Iterator[str]:
    """Signatures that are none, or are around another provenance: the release was changed after it was signed.

    That they are anyone's is not looked at.
    """
    for name in present(release):
        try:
            if payload(release, name) != provenance:
                yield f"{name} signs another {PROVENANCE_FILE} than the one that is there"
        except ReleaseError as error:
            yield str(error)


def payload(release: Path, name: str) -> bytes:
    """The provenance that a signature is around.

    Raises:
        ReleaseError: it is damaged.
    """
    path = release / name
    found: Any = read_envelope(release) if name == DSSE_FILE else _read(path, _Bundle).dsse_envelope
    try:
        return base64.b64decode(found.payload, validate=True)
    except binascii.Error as error:
        raise ReleaseError(f"{path} is damaged: its payload is no base64") from error


def remove_stale(release: Path, provenance: bytes) -> list[str]:
    """Removes the signatures that are not around this provenance; their names.

    Raises:
        OSError: one cannot be removed.
    """
    stale = []
    for name in present(release):
        try:
            holds = payload(release, name) == provenance
        except ReleaseError:
            holds = False
        if not holds:
            (release / name).unlink()
            stale.append(name)
    return stale


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > _LARGEST:
        raise ReleaseError(f"{path} is damaged: it has more than {_LARGEST:,} bytes")
    return content


def _read(path: Path, type_: type[T]) -> T:
    def damaged(problem: str) -> ReleaseError:
        return ReleaseError(f"{path} is damaged: {problem}")

    return convert(parse_json(_content(path), damaged), type_, damaged)
