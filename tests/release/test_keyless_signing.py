"""Signatures by an identity, as far as they can be refused without a network: sigstore's services are not asked."""

import base64
import datetime
import json
from pathlib import Path
from typing import Any

from exporter.release.signatures import BUNDLE_FILE
from tests.support.command import Command, Result, refusal, succeeded
from tests.support.small_release import WHOLE

IDENTITY = ("--signed-by", "me@example.org", "--issuer", "https://accounts.example.org", "--offline")


def _verified(cli: Command, release: Path) -> Result:
    return cli("release", "verify", release, "--files-only", *IDENTITY)


def test_without_anyone_who_says_who_signs(own_cli: Command, copied: Path) -> None:
    message = refusal(own_cli("release", "sign", copied), 3)
    assert "nothing says who signs" in message and "--key FILE" in message
    bad = own_cli.with_variables(SIGSTORE_IDENTITY_TOKEN="no token")
    assert "the token that says who signs is not valid" in refusal(bad("release", "sign", copied), 3)
    assert sorted(path.name for path in copied.iterdir()) == WHOLE


def test_a_bundle_that_nobody_signed(own_cli: Command, copied: Path) -> None:
    """It is around the right provenance, and has the form of a bundle."""
    provenance = base64.b64encode((copied / "provenance.json").read_bytes()).decode()
    envelope = {"payload": provenance, "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": "AAAA"}]}
    kinds: list[dict[str, Any]] = [
        {},
        {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"},
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []},
        },
    ]
    for kind in kinds:
        (copied / BUNDLE_FILE).write_text(json.dumps({**kind, "dsseEnvelope": envelope}))
        result = _verified(own_cli, copied)
        assert result.returncode == 1, result.stderr
        assert f"{BUNDLE_FILE} is damaged" in result.stdout
        assert "Traceback" not in result.stderr and len(result.stdout.splitlines()[-2]) < 1000


def _self_made_bundle(provenance: bytes, identity: str) -> dict[str, Any]:
    """A bundle that is right but for one thing: nobody but its maker says that it is of this identity."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def base(content: bytes) -> str:
        return base64.b64encode(content).decode()

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sigstore-intermediate")])
    usage = [True, *[False] * 8]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(minutes=5))
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=False)
        .add_extension(x509.KeyUsage(*usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .sign(key, hashes.SHA256())
    )
    kind = b"application/vnd.in-toto+json"
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(provenance), provenance)
    proof = {"logIndex": "1", "rootHash": base(bytes(32)), "treeSize": "2", "hashes": [base(bytes(32))]}
    entry = {
        "logIndex": "1",
        "logId": {"keyId": base(bytes(32))},
        "kindVersion": {"kind": "dsse", "version": "0.0.1"},
        "integratedTime": str(int(now.timestamp())),
        "inclusionPromise": {"signedEntryTimestamp": base(b"x")},
        "inclusionProof": {**proof, "checkpoint": {"envelope": "x"}},
        "canonicalizedBody": base(b"{}"),
    }
    raw = base(certificate.public_bytes(serialization.Encoding.DER))
    signature = base(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"certificate": {"rawBytes": raw}, "tlogEntries": [entry]},
        "dsseEnvelope": {"payload": base(provenance), "payloadType": kind.decode(), "signatures": [{"sig": signature}]},
    }


def test_a_certificate_of_ones_own_is_none(own_cli: Command, copied: Path) -> None:
    bundle = _self_made_bundle((copied / "provenance.json").read_bytes(), "me@example.org")
    (copied / BUNDLE_FILE).write_text(json.dumps(bundle))
    result = _verified(own_cli, copied)
    assert result.returncode == 1, result.stderr
    assert "its signature is not one by me@example.org (https://accounts.example.org): " in result.stdout
    assert "Traceback" not in result.stderr
    # Who asks for nobody is told that it was not checked.
    unasked = succeeded(own_cli("release", "verify", copied, "--files-only")).stdout
    assert f"has a signature by an identity ({BUNDLE_FILE}), not checked" in unasked
