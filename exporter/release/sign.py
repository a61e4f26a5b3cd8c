"""Signs a release, and says who signed one. What is signed is its provenance, which has the hash of all other files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import ReleaseError
from exporter.files import staging
from exporter.release import signatures
from exporter.release.check import SIGNATURES, check
from exporter.release.folder import held
from exporter.release.signatures import BUNDLE_FILE, DSSE_FILE
from exporter.verification.results import Check, count

# What makes and checks signatures is imported where it is needed: the extra ``sign`` may not be there.


@dataclass(frozen=True)
class Identity:
    """Somebody, by an e-mail address or the address of a workflow, and the address of the ``issuer`` that says so."""

    name: str
    issuer: str


@dataclass(frozen=True)
class Signed:
    """What is known of the signatures of a release.

    ``by`` says in words who made the one that was asked for; it is None where that is missing or wrong, or where
    nothing was asked for. ``check`` is None in the latter case. ``text`` is a line about all of it.
    """

    by: str | None
    check: Check | None
    text: str


#: What is said of a release whose files are wrong.
NOT_LOOKED_AT = Signed(None, None, "signatures were not looked at: the files are not right")


def sign(
    release: Path, key: Path | None, *, passphrase: Callable[[], str], browser: bool = False, overwrite: bool = False
) -> str:
    """Signs a release whose files are sound, with a key or by an identity; who signed it, in words.

    Args:
        key: the file of a private key; None for an identity.
        passphrase: asked for that of an encrypted key.
        browser: whether a browser may be opened to ask for the identity.
        overwrite: whether a signature of the same kind may be replaced.

    Raises:
        ReleaseError: the release is not sound or signed already, or cannot be written.
        SigningError: the key cannot be used, or sigstore's services cannot be.
    """
    require_sound(release)
    name = DSSE_FILE if key else BUNDLE_FILE
    if name in signatures.present(release) and not overwrite:
        raise ReleaseError(f"{release} was signed by {signatures.KINDS[name]} already ({name}): pass --overwrite")
    provenance = signatures.read_provenance(release)
    if key:
        from exporter.release import keys

        content, who = keys.sign(provenance, key, passphrase)
    else:
        from exporter.release import keyless

        content, who = keyless.sign(provenance, browser)
    with held(release):
        try:
            if signatures.read_provenance(release) != provenance:
                raise ReleaseError(f"{release} was changed while it was signed: sign it again")
            staging.write(release / name, content)
        except OSError as error:
            raise ReleaseError(f"cannot write {error.filename or release}: {error.strerror}") from error
    return who


def require_sound(release: Path) -> None:
    """Raises ReleaseError where a check of the files fails: nobody may put a name to that.

    A signature that does not fit the release is going to be replaced, or to be told by the next verification.
    """
    failed = [each for each in check(release) if not each.passed and each.name != SIGNATURES]
    if failed:
        first = failed[0]
        raise ReleaseError(f"{release} is not sound, and was not signed: {first.name}\n{first.detail}")


def signed(release: Path, by: Path | Identity | None, *, offline: bool = False) -> Signed:
    """Who signed a release, the names of whose files are right.

    Args:
        by: who should have: the file of a public key, or an identity; None to say what is there, unchecked.
        offline: whether to check an identity without asking sigstore for its newest keys.

    Raises:
        SigningError: it cannot be checked.
    """
    if by is None:
        return Signed(None, None, _unchecked(release))
    name = f"signatures missing by {by.name if isinstance(by, Identity) else by}"
    try:
        who = _signer(release, by, offline)
    except ReleaseError as error:
        unsigned = not signatures.present(release)
        problem = "it is unsigned" if unsigned else str(error)
        return Signed(None, count(name, 1, problem), "unsigned" if unsigned else f"NOT signed as asked: {problem}")
    return Signed(who, count(name, 0, ""), f"signed by {who}")


def _signer(release: Path, by: Path | Identity, offline: bool) -> str:
    provenance = signatures.read_provenance(release)
    if isinstance(by, Identity):
        from exporter.release import keyless

        return keyless.signer(release, provenance, by.name, by.issuer, offline)
    from exporter.release import keys

    return keys.signer(release, provenance, by)


def _unchecked(release: Path) -> str:
    found = signatures.present(release)
    if not found:
        return "unsigned: nothing says who made it"
    said = []
    for name in found:
        try:
            hint = signatures.read_envelope(release).signatures[0].keyid if name == DSSE_FILE else name
        except ReleaseError:
            hint = "damaged"
        said.append(f"{signatures.KINDS[name]} ({hint})")
    return f"has a signature by {' and one by '.join(said)}, not checked: pass --signed-by"
