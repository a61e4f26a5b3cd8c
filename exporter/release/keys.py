"""Signatures by a key that lies in a file: a DSSE envelope, made and checked by securesystemslib, without a network.

Keys are Ed25519 or ECDSA, as OpenSSH or OpenSSL write them. Imports what the extra ``sign`` brings, so it is imported
only where a signature is made or checked.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from exporter.errors import ReleaseError, SigningError
from exporter.release import signatures
from exporter.release.manifest import PROVENANCE_FILE, encoded
from exporter.release.signatures import DSSE_FILE, PAYLOAD_TYPE

try:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import CryptoSigner, SSlibKey
except ImportError as error:
    missing = (error.name or str(error)).partition(".")[0]
    raise SigningError(f"{missing} is not installed: pip install 'nasexport[sign]'") from error

#: What a key file begins with that OpenSSH made, and what every private one has.
_OPENSSH, _PRIVATE = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"PRIVATE KEY-----"
_PublicKey: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey
_EXPECTED = "expected an Ed25519 or ECDSA key, as `ssh-keygen -t ed25519` makes"


def sign(provenance: bytes, key: Path, passphrase: Callable[[], str]) -> tuple[bytes, str]:
    """The content of `DSSE_FILE`, and what signed it, in words.

    Args:
        key: the file of a private key.
        passphrase: asked where the key is encrypted.

    Raises:
        SigningError: the key cannot be read, or is none that can sign.
    """
    private = _private_key(key, passphrase)
    public = private.public_key()
    try:
        signer = CryptoSigner(private, SSlibKey.from_crypto(public, keyid=fingerprint(public)))
    except ValueError as error:
        raise SigningError(f"{key} cannot sign ({error}): {_EXPECTED}") from error
    envelope = Envelope(provenance, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return encoded(envelope.to_dict()), _named(public, key)


def signer(release: Path, provenance: bytes, key: Path) -> str:
    """Who signed a release with this provenance, in words, where it was the key in a file of a public one.

    Raises:
        SigningError: the key cannot be read.
        ReleaseError: the signature is missing, damaged, or not one of the key.
    """
    public = _public_key(key)
    own = SSlibKey.from_crypto(public, keyid=fingerprint(public))
    if not (release / DSSE_FILE).exists():
        raise ReleaseError(f"it has no signature by a key ({DSSE_FILE})")
    found = signatures.read_envelope(release)
    envelope = Envelope.from_dict(_plain(found))
    if envelope.payload != provenance:
        raise ReleaseError(f"its signature is around another {PROVENANCE_FILE} than its own")
    try:
        envelope.verify([own], 1)
    except (VerificationError, ValueError) as error:
        said = found.signatures[0].keyid
        if said != own.keyid:
            raise ReleaseError(f"it was signed by the key {said}, expected {own.keyid} ({key})") from error
        raise ReleaseError(f"its signature is not one by {_named(public, key)} of what is in it") from error
    return _named(public, key)


def fingerprint(public: _PublicKey) -> str:
    """What ``ssh-keygen -l`` shows of a key."""
    digest = base64.b64encode(serialization.ssh_key_fingerprint(public, SHA256())).decode().rstrip("=")
    return f"SHA256:{digest}"


def _plain(envelope: signatures.Envelope) -> dict[str, Any]:
    """An envelope as securesystemslib takes it."""
    rows = [{"keyid": each.keyid, "sig": each.sig} for each in envelope.signatures]
    return {"payload": envelope.payload, "payloadType": envelope.payload_type, "signatures": rows}


def _named(public: _PublicKey, key: Path) -> str:
    kind = "Ed25519" if isinstance(public, Ed25519PublicKey) else "ECDSA"
    return f"the {kind} key {fingerprint(public)} ({key})"


def _read(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise SigningError(f"cannot read the key {key}: {error.strerror}") from error


def _private_key(key: Path, passphrase: Callable[[], str]) -> Ed25519PrivateKey | EllipticCurvePrivateKey:
    content = _read(key)
    if _PRIVATE not in content:
        raise SigningError(f"{key} is no private key: {_EXPECTED}")
    try:
        found = _loaded(content, None)
    except TypeError:  # it is encrypted
        try:
            found = _loaded(content, passphrase().encode())
        except UnsupportedAlgorithm as error:
            raise SigningError(f"{key} cannot be decrypted ({error}): pip install 'nasexport[sign]'") from error
        except ValueError as error:
            raise SigningError(f"{key} cannot be decrypted: the passphrase is not the right one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{key} is damaged, or no private key: {_EXPECTED}") from error
    if not isinstance(found, Ed25519PrivateKey | EllipticCurvePrivateKey):
        raise SigningError(f"{key} is of another kind: {_EXPECTED}")
    return found


def _loaded(content: bytes, passphrase: bytes | None) -> Any:
    load = serialization.load_ssh_private_key if _OPENSSH in content else serialization.load_pem_private_key
    return load(content, passphrase)


def _public_key(key: Path) -> _PublicKey:
    content = _read(key)
    if _PRIVATE in content:
        raise SigningError(f"{key} is a private key: pass its public half, such as {key}.pub")
    load = serialization.load_pem_public_key if content.startswith(b"-----") else serialization.load_ssh_public_key
    try:
        found = load(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{key} is no public key: {_EXPECTED}") from error
    if not isinstance(found, Ed25519PublicKey | EllipticCurvePublicKey):
        raise SigningError(f"{key} is of another kind: {_EXPECTED}")
    return found
