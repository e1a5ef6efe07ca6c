"""Signatures: the right key opens, another key is named, forgeries and nonsense are refused."""

from __future__ import annotations

import base64
import json
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bundle import errors, verify
from bundle.keys import ensure_key_pair, fingerprint, private_fingerprint
from bundle.manifest import SIGNATURE_NAME
from bundle.signing import sign
from tests.fixtures.plain_bundle import build_plain_bundle

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    root = tmp_path_factory.mktemp("keys")
    return {name: ensure_key_pair(root / name) for name in ("ours", "theirs")}


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    return build_plain_bundle(tmp_path)


def edit_signature(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / SIGNATURE_NAME
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_round_trip(unsigned: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    private, public = keys["ours"]
    assert sign(unsigned, private) == fingerprint(public) == verify(unsigned, public).signer


def test_signing_twice_replaces_the_signature(unsigned: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    sign(unsigned, keys["theirs"][0])
    sign(unsigned, keys["ours"][0])
    assert verify(unsigned, keys["ours"][1]).verified


def test_wrong_key_names_both_fingerprints(unsigned: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    sign(unsigned, keys["theirs"][0])
    with pytest.raises(errors.WrongKey) as caught:
        verify(unsigned, keys["ours"][1])
    assert fingerprint(keys["theirs"][1])[:16] in str(caught.value)
    assert fingerprint(keys["ours"][1])[:16] in str(caught.value)


def test_forged_hint_does_not_help(unsigned: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    sign(unsigned, keys["theirs"][0])
    hint = fingerprint(keys["ours"][1])
    edit_signature(unsigned, lambda s: s["verificationMaterial"]["publicKey"].update(hint=hint))
    with pytest.raises(errors.SignatureInvalid, match="not valid for its key"):
        verify(unsigned, keys["ours"][1])


def test_edited_payload_is_refused(unsigned: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    sign(unsigned, keys["ours"][0])

    def rename(signature: dict[str, Any]) -> None:
        payload = base64.b64decode(signature["dsseEnvelope"]["payload"])
        edited = payload.replace(b'"manifest.json"', b'"manifest.jsom"')
        assert edited != payload
        signature["dsseEnvelope"]["payload"] = base64.b64encode(edited).decode()

    edit_signature(unsigned, rename)
    with pytest.raises(errors.SignatureInvalid, match="not valid for its key"):
        verify(unsigned, keys["ours"][1])


def test_signature_of_another_bundle_is_refused(
    unsigned: Path, tmp_path: Path, keys: dict[str, tuple[Path, Path]]
) -> None:
    other = build_plain_bundle(tmp_path, version="2", licence="MIT")
    sign(unsigned, keys["ours"][0])
    shutil.copy(unsigned / SIGNATURE_NAME, other / SIGNATURE_NAME)
    with pytest.raises(errors.SignatureInvalid, match=r"not those that were signed.*manifest\.json"):
        verify(other, keys["ours"][1])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", errors.SignatureMalformed),
        ("[]", errors.SignatureMalformed),
        ("null", errors.SignatureMalformed),
        ('{"verificationMaterial": 3}', errors.SignatureMalformed),
        ("[" * 100_000, errors.SignatureMalformed),
        ('{"verificationMaterial": {}}', errors.WrongKey),
        ('{"verificationMaterial": {"publicKey": 7}}', errors.WrongKey),
        ('{"verificationMaterial": {"publicKey": {"hint": "\\u001b[2J"}}}', errors.WrongKey),
        ('{"verificationMaterial": {"publicKey": {"hint": "HINT"}}}', errors.SignatureInvalid),
        ('{"verificationMaterial": {"publicKey": {"hint": "HINT"}}, "x": []}', errors.SignatureInvalid),
    ],
)  # fmt: skip
def test_hostile_signatures_are_one_line_errors(
    unsigned: Path, keys: dict[str, tuple[Path, Path]], text: str, kind: type[errors.BundleError]
) -> None:
    public = keys["ours"][1]
    (unsigned / SIGNATURE_NAME).write_text(text.replace("HINT", fingerprint(public)))
    with pytest.raises(kind) as caught:
        verify(unsigned, public)
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()


def test_broken_bundle_is_not_signed(unsigned: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    (unsigned / "model/extra.json").write_text("{}")
    with pytest.raises(errors.AddedFile):
        sign(unsigned, keys["ours"][0])
    assert not (unsigned / SIGNATURE_NAME).exists()


def test_key_pair_is_made_once_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_KEYS", str(tmp_path / "k"))
    folder = build_plain_bundle(tmp_path)
    first = sign(folder)
    assert stat.S_IMODE((tmp_path / "k/signing.key").stat().st_mode) == 0o600
    assert sign(folder) == first == verify(folder).signer
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == ["signing.key", "signing.pub"]


def test_first_uses_at_once_end_with_one_pair(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        pairs = list(pool.map(lambda _: ensure_key_pair(tmp_path / "k"), range(8)))
    assert {private_fingerprint(private) for private, _ in pairs} == {fingerprint(pairs[0][1])}


def test_public_key_of_another_pair_is_noticed(tmp_path: Path, keys: dict[str, tuple[Path, Path]]) -> None:
    ensure_key_pair(tmp_path / "k")
    shutil.copy(keys["theirs"][1], tmp_path / "k/signing.pub")
    with pytest.raises(errors.KeyInvalid, match="not the public half"):
        ensure_key_pair(tmp_path / "k")


def write_public(path: Path, key: Any) -> Path:
    public = key.public_key()
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    path.write_bytes(public.public_bytes(*pem))
    return path


def test_keys_that_cannot_be_used_say_why(unsigned: Path, tmp_path: Path) -> None:
    sign(unsigned, ensure_key_pair(tmp_path / "k")[0])
    (tmp_path / "text").write_text("no key")
    wrong = {
        "not a public key in PEM form": tmp_path / "text",
        "not an elliptic-curve key": write_public(tmp_path / "rsa", rsa.generate_private_key(65537, 2048)),
        "curve secp256k1": write_public(tmp_path / "koblitz", ec.generate_private_key(ec.SECP256K1())),
    }
    for message, path in wrong.items():
        with pytest.raises(errors.KeyInvalid, match=message):
            verify(unsigned, path)
    with pytest.raises(errors.KeyNotFound, match="No such file"):
        verify(unsigned, tmp_path / "nothing")
    with pytest.raises(errors.KeyInvalid, match="private key"):
        sign(unsigned, tmp_path / "rsa")
