"""Signatures: made with a key as OpenSSH and OpenSSL make them, checked by nasexport and by others."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.release.keys import sign
from exporter.release.signatures import BUNDLE_FILE, DSSE_FILE, payload, problems
from tests.support.command import Command, Result, refusal, succeeded
from tests.support.forgery import edited, records_below, rehash
from tests.support.odd_values import ANYTHING, changed, places
from tests.support.small_release import HANDLES, WHOLE, flip_a_bit, hashes

_KINDS: dict[str, list[str]] = {
    "an Ed25519 key of OpenSSH": ["ssh-keygen", "-q", "-N", "", "-C", "a comment", "-t", "ed25519", "-f"],
    "an ECDSA key of OpenSSH": ["ssh-keygen", "-q", "-N", "", "-t", "ecdsa", "-b", "384", "-f"],
    "an old form of OpenSSH's": ["ssh-keygen", "-q", "-N", "", "-t", "ecdsa", "-m", "PEM", "-f"],
    "an Ed25519 key of OpenSSL": ["openssl", "genpkey", "-algorithm", "ed25519", "-out"],
    "an ECDSA key of OpenSSL": [
        "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
    ],
}  # fmt: skip


def _made(folder: Path, kind: str = "an Ed25519 key of OpenSSH", name: str = "key") -> tuple[Path, Path]:
    """The files of a private key, and of its public half."""
    key, public = folder / name, folder / f"{name}.pub"
    subprocess.run([*_KINDS[kind], key], check=True, capture_output=True)
    if not public.exists():
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    return key, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return _made(tmp_path)


@pytest.fixture
def signed(own_cli: Command, copied: Path, keys: tuple[Path, Path]) -> Path:
    succeeded(own_cli("release", "sign", copied, "--key", keys[0]))
    return copied


def _verified(cli: Command, release: Path, *options: object) -> Result:
    return cli("release", "verify", release, "--files-only", *options)


@pytest.mark.parametrize("kind", _KINDS)
def test_who_signed_is_known(own_cli: Command, copied: Path, tmp_path: Path, kind: str) -> None:
    key, public = _made(tmp_path, kind)
    before = hashes(copied)
    said = succeeded(own_cli("release", "sign", copied, "--key", key)).stdout
    assert said.startswith("signed by the E") and f"({key})" in said
    after = hashes(copied)
    assert after.pop(DSSE_FILE) and after == before
    result = succeeded(_verified(own_cli, copied, "--signed-by", public))
    assert said.replace(str(key), str(public)) in result.stdout
    if "OpenSSH" in kind:
        shown = subprocess.run(["ssh-keygen", "-l", "-f", public], check=True, capture_output=True, text=True).stdout
        assert shown.split()[1] in said
    facts = json.loads(succeeded(_verified(own_cli, copied, "--signed-by", public, "--json")).stdout)
    assert facts["passed"] and facts["signed_by"] in result.stdout


@pytest.mark.parametrize("kind", [kind for kind in _KINDS if "OpenSSL" in kind])
def test_others_can_check_it(own_cli: Command, copied: Path, tmp_path: Path, kind: str) -> None:
    """OpenSSL, over what the standard (DSSE) says is signed; and what is signed names every other file."""
    key, public = _made(tmp_path, kind)
    succeeded(own_cli("release", "sign", copied, "--key", key))
    envelope = json.loads((copied / DSSE_FILE).read_text())
    signed = base64.b64decode(envelope["payload"])
    assert signed == (copied / "provenance.json").read_bytes()
    type_ = envelope["payloadType"].encode()
    (tmp_path / "message").write_bytes(b"DSSEv1 %d %b %d %b" % (len(type_), type_, len(signed), signed))
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command: list[str | Path] = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, "-in", "message"]
    command += ["-sigfile", "signature"]
    if "ECDSA" in kind:
        command = ["dgst", "-sha256", "-verify", public, "-signature", "signature", "message"]
    done = subprocess.run(["openssl", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Verif" in done.stdout, done
    subjects = {each["name"]: each["digest"]["sha256"] for each in json.loads(signed)["subject"]}
    others = {DSSE_FILE, "provenance.json", "SHA256SUMS"}
    assert subjects == {path: digest for path, digest in hashes(copied).items() if path not in others}


def test_unsigned_is_said_and_refused_where_a_signature_is_asked_for(
    own_cli: Command, copied: Path, keys: tuple[Path, Path]
) -> None:
    assert "unsigned: nothing says who made it\n" in succeeded(_verified(own_cli, copied)).stdout
    result = _verified(own_cli, copied, "--signed-by", keys[1])
    assert result.returncode == 1
    assert "unsigned\n" in result.stdout
    assert json.loads(_verified(own_cli, copied, "--signed-by", keys[1], "--json").stdout)["signed_by"] is None


def test_a_signature_counts_for_nothing_until_it_is_checked(own_cli: Command, signed: Path) -> None:
    result = succeeded(_verified(own_cli, signed))
    (line,) = (line for line in result.stdout.splitlines() if "signature by" in line)
    assert "has a signature by a key (SHA256:" in line and "not checked: pass --signed-by" in line
    assert json.loads(succeeded(_verified(own_cli, signed, "--json")).stdout)["signed_by"] is None


def test_a_key_of_somebody_else_is_not_taken(own_cli: Command, signed: Path, tmp_path: Path) -> None:
    _, other = _made(tmp_path, name="other")
    result = _verified(own_cli, signed, "--signed-by", other)
    assert result.returncode == 1
    assert "it was signed by the key SHA256:" in result.stdout
    # Nor where the signature says that it is of that key.
    shown = subprocess.run(["ssh-keygen", "-l", "-f", other], check=True, capture_output=True, text=True).stdout
    with edited(signed / DSSE_FILE) as envelope:
        envelope["signatures"][0]["keyid"] = shown.split()[1]
    result = _verified(own_cli, signed, "--signed-by", other)
    assert result.returncode == 1
    assert "its signature is not one by the Ed25519 key SHA256:" in result.stdout


def _without_signatures(envelope: dict[str, Any]) -> None:
    envelope["signatures"] = []


def _with_other_payload(envelope: dict[str, Any]) -> None:
    other = base64.b64decode(envelope["payload"]).replace(b"small_nasnet", b"other_nasnet")
    envelope["payload"] = base64.b64encode(other).decode()


def _with_other_type(envelope: dict[str, Any]) -> None:
    envelope["payloadType"] = "text/plain"


def _with_more(envelope: dict[str, Any]) -> None:
    envelope["signatures"][0]["cert"] = "x"


def _with_control_characters(envelope: dict[str, Any]) -> None:
    envelope["signatures"][0]["keyid"] = "\x1b[2J"


SPOILT: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no signature": (_without_signatures, "signatures is []"),
    "another payload": (_with_other_payload, "signs another provenance.json than the one that is there"),
    "another type": (_with_other_type, "payloadType is 'text/plain'"),
    "a field more": (_with_more, "has cert, expected no other fields"),
    "a hint with control characters": (_with_control_characters, r"keyid is '\x1b[2J', expected a fingerprint"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("asked", [True, False])
def test_an_envelope_of_something_else_is_refused(
    own_cli: Command, signed: Path, keys: tuple[Path, Path], spoilt: str, asked: bool
) -> None:
    """Also by those who ask for nobody's signature."""
    change, told = SPOILT[spoilt]
    with edited(signed / DSSE_FILE) as envelope:
        change(envelope)
    result = _verified(own_cli, signed, *(["--signed-by", keys[1]] if asked else []))
    assert result.returncode == 1
    assert told in result.stdout
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", [DSSE_FILE, BUNDLE_FILE])
def test_rubbish_is_no_signature(own_cli: Command, copied: Path, name: str) -> None:
    (copied / name).write_bytes(b'{"payload": "!"}')
    result = _verified(own_cli, copied)
    assert result.returncode == 1
    assert f"{name} is damaged" in result.stdout
    assert "Traceback" not in result.stderr


_PROVENANCE = b'{"some": "provenance"}'
_ENVELOPE = {
    "payload": base64.b64encode(_PROVENANCE).decode(),
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [{"keyid": f"SHA256:{'a' * 43}", "sig": "AAAA"}],
}
_CONTENTS = {DSSE_FILE: _ENVELOPE, BUNDLE_FILE: {"mediaType": "x", "dsseEnvelope": _ENVELOPE}}


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_content_of_a_signature_is_misread(tmp_path: Path, data: st.DataObject) -> None:
    """It is around the provenance, or refused in one line."""
    name = data.draw(st.sampled_from([DSSE_FILE, BUNDLE_FILE]))
    value = _CONTENTS[name]
    if data.draw(st.booleans()):
        place = data.draw(st.sampled_from([place for place in places(value) if place]))
        value = changed(value, place, lambda parent, key: parent.__setitem__(key, data.draw(ANYTHING)))
    content = json.dumps(value).encode()
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(st.binary(max_size=3)) + content[at + data.draw(st.integers(0, 3)) :]
    for other in (DSSE_FILE, BUNDLE_FILE):
        (tmp_path / other).unlink(missing_ok=True)
    (tmp_path / name).write_bytes(content)
    said = list(problems(tmp_path, _PROVENANCE))
    assert said or payload(tmp_path, name) == _PROVENANCE
    assert all(name in text and len(text) < 1000 and text.isprintable() for text in said)


def test_a_signature_does_not_outlive_what_it_signed(own_cli: Command, signed: Path, keys: tuple[Path, Path]) -> None:
    """A forger who makes all else anew is left with a signature of another release."""
    for path in records_below(signed):
        with edited(path) as record:
            record["inputs"]["packages"]["numpy"] = "1.26.0"
    rehash(signed)
    result = _verified(own_cli, signed, "--signed-by", keys[1])
    assert result.returncode == 1
    assert f"{DSSE_FILE} signs another provenance.json than the one that is there" in result.stdout


def test_who_signed_vouches_for_what_cannot_be_derived(
    own_cli: Command, copied: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """A release of another nasexport, signed when that was there: its pages are those that were signed."""
    for path in records_below(copied):
        with edited(path) as record:
            record["inputs"]["code"] = "0" * 64
    page = copied / f"{HANDLES[0]}.md"
    page.write_text("Another nasexport wrote this page.\n")
    rehash(copied)
    content, _ = sign((copied / "provenance.json").read_bytes(), keys[0], lambda: "")
    (copied / DSSE_FILE).write_bytes(content)
    assert "only the one that made a release" in refusal(_verified(own_cli, copied), 3)
    assert "signed by the Ed25519 key" in succeeded(_verified(own_cli, copied, "--signed-by", keys[1])).stdout
    _, other = _made(tmp_path, name="other")
    assert _verified(own_cli, copied, "--signed-by", other).returncode == 1
    for name in ("index.html", f"{HANDLES[0]}.html", "SHA256SUMS"):
        kept = (copied / name).read_bytes()
        flip_a_bit(copied / name)
        result = _verified(own_cli, copied, "--signed-by", keys[1])
        assert result.returncode == 1
        assert name in result.stdout
        (copied / name).write_bytes(kept)
    page.write_text("A forger wrote this page.\n")
    rehash(copied)
    assert _verified(own_cli, copied, "--signed-by", keys[1]).returncode == 1


def test_what_is_not_sound_is_not_signed(own_cli: Command, copied: Path, keys: tuple[Path, Path]) -> None:
    flip_a_bit(copied / HANDLES[0] / "saved_model.pb")
    message = refusal(own_cli("release", "sign", copied, "--key", keys[0]))
    assert "is not sound, and was not signed" in message
    assert sorted(path.name for path in copied.iterdir()) == WHOLE


@pytest.mark.long
def test_a_signature_is_replaced_on_request_alone(
    own_cli: Command, signed: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    other, public = _made(tmp_path, name="other")
    assert "was signed by a key already" in refusal(own_cli("release", "sign", signed, "--key", other))
    succeeded(_verified(own_cli, signed, "--signed-by", keys[1]))
    succeeded(own_cli("release", "sign", signed, "--key", other, "--overwrite"))
    succeeded(_verified(own_cli, signed, "--signed-by", public))
    assert _verified(own_cli, signed, "--signed-by", keys[1]).returncode == 1


@pytest.mark.long
def test_merging_removes_a_signature_with_a_word(
    own_cli: Command, signed: Path, keys: tuple[Path, Path], parts: list[Path]
) -> None:
    """It stays where the merge changes nothing, and goes where it does."""
    succeeded(own_cli("release", "merge", signed, "--output", signed))
    succeeded(_verified(own_cli, signed, "--signed-by", keys[1]))
    copy = signed.with_name("part")
    subprocess.run(["cp", "-r", parts[0], copy], check=True)
    succeeded(own_cli("release", "sign", copy, "--key", keys[0]))
    result = succeeded(own_cli("release", "merge", parts[1], "--output", copy))
    assert "the signature by a key was removed, as the release has changed" in result.stderr
    assert not (copy / DSSE_FILE).exists()
    assert "unsigned" in succeeded(_verified(own_cli, copy)).stdout
    result = succeeded(own_cli("release", "merge", signed, "--output", signed.with_name("whole")))
    assert "the signatures of the parts are none of the whole" in result.stderr


def test_making_it_again_keeps_a_signature(
    own_cli: Command, signed: Path, keys: tuple[Path, Path], inputs: list[object]
) -> None:
    succeeded(own_cli("release", *inputs, "--output", signed))
    succeeded(_verified(own_cli, signed, "--signed-by", keys[1]))


@pytest.mark.parametrize("form", ["OpenSSH", "PEM"])
def test_a_passphrase_is_needed(own_cli: Command, copied: Path, tmp_path: Path, form: str) -> None:
    key = tmp_path / "key"
    if form == "OpenSSH":
        pytest.importorskip("bcrypt", reason="part of the extra 'sign'")
        subprocess.run(["ssh-keygen", "-q", "-N", "a secret", "-t", "ed25519", "-f", key], check=True)
    else:
        command: list[str | Path] = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-out", key]
        command += ["-pass", "pass:a secret"]
        subprocess.run(command, check=True, capture_output=True)
    message = refusal(own_cli("release", "sign", copied, "--key", key), 3)
    assert "the key is encrypted: set NASEXPORT_SIGN_PASSPHRASE" in message
    wrong = own_cli.with_variables(NASEXPORT_SIGN_PASSPHRASE="another")
    assert "the passphrase is not the right one" in refusal(wrong("release", "sign", copied, "--key", key), 3)
    right = own_cli.with_variables(NASEXPORT_SIGN_PASSPHRASE="a secret")
    assert "signed by the Ed25519 key" in succeeded(right("release", "sign", copied, "--key", key)).stdout


NO_KEYS: dict[str, tuple[bytes | None, str]] = {
    "nothing there": (None, "cannot read the key"),
    "an empty file": (b"", "is no private key"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "is no private key"),
    "half a key": (b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n", "is damaged, or no private key"),
    "rubbish in armour": (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is damaged, or no priv"),
}


@pytest.mark.parametrize("kind", NO_KEYS)
def test_what_is_no_key_is_told(own_cli: Command, copied: Path, tmp_path: Path, kind: str) -> None:
    content, told = NO_KEYS[kind]
    key = tmp_path / "no key"
    if content is not None:
        key.write_bytes(content)
    assert told in refusal(own_cli("release", "sign", copied, "--key", key), 3)
    if content is not None:
        message = refusal(_verified(own_cli, copied, "--signed-by", key), 3)
        assert "is no public key" in message or "is a private key" in message


def test_an_rsa_key_is_told(own_cli: Command, copied: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "rsa", "-b", "2048", "-f", key], check=True)
    assert "is of another kind: expected an Ed25519" in refusal(own_cli("release", "sign", copied, "--key", key), 3)
    public = key.with_suffix(".pub")
    assert "is of another kind: expected" in refusal(_verified(own_cli, copied, "--signed-by", public), 3)


def test_private_and_public_keys_are_not_mixed_up(own_cli: Command, signed: Path, keys: tuple[Path, Path]) -> None:
    key, public = keys
    assert "is a private key: pass its public half" in refusal(_verified(own_cli, signed, "--signed-by", key), 3)
    message = refusal(own_cli("release", "sign", signed, "--key", public, "--overwrite"), 3)
    assert "is no private key" in message


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--signed-by", "me@example.org"], "is no file: expected a public key, or an identity together with"),
        (["--issuer", "https://example.org"], "pass that with --signed-by"),
    ],
)
def test_wrong_usage_is_told(own_cli: Command, tmp_path: Path, options: list[str], told: str) -> None:
    result = _verified(own_cli, tmp_path, *options)
    assert result.returncode == 2
    assert told in " ".join(result.stderr.split())


def test_without_the_extra_it_is_named(own_cli: Command, copied: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['cryptography'] = None\n", encoding="utf-8")
    bare = own_cli.with_variables(PYTHONPATH=f"{folder}:{own_cli.env['PYTHONPATH']}")
    for arguments in (("sign", copied, "--key", keys[0]), ("verify", "--files-only", copied, "--signed-by", keys[1])):
        message = refusal(bare("release", *arguments), 3)
        assert message == "cryptography is not installed: pip install 'nasexport[sign]'"
    assert "unsigned" in succeeded(bare("release", "verify", "--files-only", copied)).stdout


def test_an_identity_that_signed_nothing(own_cli: Command, signed: Path) -> None:
    result = _verified(own_cli, signed, "--signed-by", "me@example.org", "--issuer", "https://example.org", "--offline")
    assert result.returncode == 1
    assert f"it has no signature by an identity ({BUNDLE_FILE})" in result.stdout
