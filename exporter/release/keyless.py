"""Signatures by an identity, without a key to keep: sigstore's, which have a certificate and an entry in a public log.

Signing needs a network and someone who says who you are: the CI that it runs in, a browser, or a token. Checking uses
the trusted keys that sigstore publishes, or those that came with its library. Imports what the extra ``sign`` brings,
so it is imported only where a signature is made or checked.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import ReleaseError, SigningError
from exporter.release import signatures
from exporter.release.manifest import PROVENANCE_FILE
from exporter.release.signatures import BUNDLE_FILE, PAYLOAD_TYPE

try:
    from sigstore import oidc
    from sigstore.dsse import Statement
    from sigstore.errors import Error, NetworkError, TUFError, VerificationError
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.sign import SigningContext
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity
except ImportError as error:
    missing = (error.name or str(error)).partition(".")[0]
    raise SigningError(f"{missing} is not installed: pip install 'nasexport[sign]'") from error

#: A token of OpenID Connect for the audience ``sigstore``; sigstore's own command reads it, too.
TOKEN_VARIABLE = "SIGSTORE_IDENTITY_TOKEN"


def sign(provenance: bytes, browser: bool) -> tuple[bytes, str]:
    """The content of `BUNDLE_FILE`, and who signed it, in words.

    Args:
        browser: whether one may be opened, where nothing else says who signs.

    Raises:
        SigningError: nothing says who signs, or a service of sigstore's does not do its part.
    """
    with _quiet():
        token = _token()
        if token is None and not browser:
            raise SigningError(
                f"nothing says who signs: expected a CI job that may ask for a token, {TOKEN_VARIABLE}, or a terminal "
                "with a browser\nSign with a key instead: --key FILE"
            )
        try:
            trust = ClientTrustConfig.production()
            token = token or oidc.Issuer(trust.signing_config.get_oidc_url()).identity_token()
            with SigningContext.from_trust_config(trust).signer(token) as signer:
                bundle = signer.sign_dsse(Statement(provenance))
        except Exception as error:  # errors of the services are of classes that the library does not show
            raise SigningError(f"sigstore did not sign: {_line(error)}") from error
        return bundle.to_json().encode() + b"\n", f"{token.identity} ({token.federated_issuer})"


def _token() -> oidc.IdentityToken | None:
    try:
        raw = os.environ.get(TOKEN_VARIABLE) or oidc.detect_credential()
        return oidc.IdentityToken(raw) if raw else None
    except oidc.IdentityError as error:
        raise SigningError(f"the token that says who signs is not valid: {_line(error)}") from error


def signer(release: Path, provenance: bytes, identity: str, issuer: str, offline: bool) -> str:
    """Who signed a release with this provenance, in words, where it was an identity.

    Args:
        identity: an e-mail address, or the address of a workflow.
        issuer: the address of who says that somebody has that identity.
        offline: whether to use the trusted keys that are here, without asking for newer ones.

    Raises:
        SigningError: sigstore's trusted keys cannot be had.
        ReleaseError: the signature is missing, damaged, or not one of the identity.
    """
    if BUNDLE_FILE not in signatures.present(release):
        raise ReleaseError(f"it has no signature by an identity ({BUNDLE_FILE})")
    content = signatures.read_bundle(release)
    with _quiet():
        try:
            bundle = Bundle.from_json(content)
        except (Error, ValueError) as error:
            raise ReleaseError(f"{BUNDLE_FILE} is damaged: {_line(error)}") from error
        try:
            verifier = Verifier.production(offline=offline)
        except (TUFError, NetworkError, OSError) as error:
            raise SigningError(
                f"sigstore's trusted keys cannot be had ({_line(error)}): with --offline, those that are here count"
            ) from error
        try:
            payload_type, payload = verifier.verify_dsse(bundle, Identity(identity=identity, issuer=issuer))
        except (Error, VerificationError, ValueError) as error:
            raise ReleaseError(f"its signature is not one by {identity} ({issuer}): {_line(error)}") from error
    if payload_type != PAYLOAD_TYPE:
        raise ReleaseError(f"{BUNDLE_FILE} signs something else than a provenance, {payload_type[:80]!r}")
    if payload != provenance:
        raise ReleaseError(f"its signature is around another {PROVENANCE_FILE} than its own")
    return f"{identity} ({issuer})"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the library logs on the way is no message to users; what goes wrong is raised."""
    logger = logging.getLogger("sigstore")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return ascii(text[:200])[1:-1]
