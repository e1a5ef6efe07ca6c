"""Each way in which a bundle can be wrong has its own error and its own message."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle import BundleError, errors, verify, verify_in_child
from bundle.inventory import hash_files
from bundle.keys import ensure_key_pair
from bundle.manifest import MANIFEST_NAME, read_manifest
from bundle.signing import sign
from tests.fixtures.plain_bundle import build_plain_bundle

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("signed")
    sign(build_plain_bundle(root), ensure_key_pair(root / "keys")[0])
    return root


@pytest.fixture
def signed(original: Path, tmp_path: Path) -> Path:
    """A copy to break, with `key.pub` beside it."""
    shutil.copy(original / "keys/signing.pub", tmp_path / "key.pub")
    return Path(shutil.copytree(original / "bundles/plain/1", tmp_path / "bundle"))


def edit_manifest(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = folder / MANIFEST_NAME
    values = json.loads(path.read_bytes())
    change(values)
    path.write_text(json.dumps(values))


def relist(folder: Path) -> None:
    """What an attacker without the key can do: make the manifest agree with the files."""
    manifest, _ = read_manifest(folder)
    changed = manifest.model_copy(update={"files": hash_files(folder)})
    (folder / MANIFEST_NAME).write_bytes(changed.to_bytes())


def change_byte(folder: Path) -> None:
    path = folder / "model/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def append_byte(folder: Path) -> None:
    with (folder / "model/config.json").open("ab") as stream:
        stream.write(b" ")


def link_out(folder: Path) -> None:
    secret = folder.parent / "secret.json"
    secret.write_text("{}")
    (folder / "model/config.json").unlink()
    (folder / "model/config.json").symlink_to("../../secret.json")


def link_folder_out(folder: Path) -> None:
    shutil.move(folder / "model", folder.parent / "elsewhere")
    (folder / "model").symlink_to(folder.parent / "elsewhere")


def pickle_as_weights(folder: Path) -> None:
    (folder / "model/model.safetensors").write_bytes(pickle.dumps({"weight": [1.0]}))


def listed_pickle(folder: Path) -> None:
    pickle_as_weights(folder)
    relist(folder)


def changed_and_relisted(folder: Path) -> None:
    change_byte(folder)
    relist(folder)


def set_manifest(**values: object) -> Callable[[Path], None]:
    return lambda folder: edit_manifest(folder, lambda manifest: manifest.update(values))


def list_path(path: str) -> Callable[[Path], None]:
    entry = {"path": path, "size": 1, "sha256": "0" * 64}
    return lambda folder: edit_manifest(folder, lambda m: m["files"].append(entry))  # type: ignore[attr-defined]


CASES: dict[str, tuple[Callable[[Path], object], type[BundleError], str]] = {
    "changed byte": (change_byte, errors.ChangedFile, "model/model.safetensors: changed: sha256"),
    "changed size": (append_byte, errors.ChangedFile, r"model/config.json: changed: \d+ bytes"),
    "missing file": (
        lambda f: (f / "model/tokenizer.json").unlink(), errors.MissingFile, "tokenizer.json: missing",
    ),
    "added file": (lambda f: (f / "model/new.json").write_text("{}"), errors.AddedFile, "new.json: added"),
    "added hidden file": (lambda f: (f / ".gitignore").write_text(""), errors.AddedFile, ".gitignore: added"),
    "symlink out": (link_out, errors.UnsafeSymlink, "config.json: symbolic link out of the bundle"),
    "folder symlink out": (link_folder_out, errors.UnsafeSymlink, "model: symbolic link out of the bundle"),
    "symlink inside": (
        lambda f: (f / "model/again.json").symlink_to("config.json"), errors.UnsafeSymlink, "only real files",
    ),
    "pipe": (lambda f: os.mkfifo(f / "model/pipe"), errors.SpecialFile, "model/pipe: neither a file"),
    "pickle": (pickle_as_weights, errors.PickleInDisguise, "model.safetensors: pickle in disguise"),
    "listed pickle": (listed_pickle, errors.PickleInDisguise, "model.safetensors: pickle in disguise"),
    "relisted": (changed_and_relisted, errors.SignatureInvalid, "not those that were signed"),
    "manifest edited": (set_manifest(licence="MIT"), errors.SignatureInvalid, "not those that were signed"),
    "no manifest": (lambda f: (f / MANIFEST_NAME).unlink(), errors.ManifestMissing, "no manifest.json"),
    "not JSON": (lambda f: (f / MANIFEST_NAME).write_text("{"), errors.ManifestNotJson, "not JSON"),
    "unknown version": (
        set_manifest(schema_version="trivium.bundle/v9"), errors.UnknownSchema, "'trivium.bundle/v9'",
    ),
    "unknown field": (set_manifest(colour="red"), errors.ManifestInvalid, "colour: Extra inputs"),
    "wrong type": (set_manifest(golden="none"), errors.ManifestInvalid, "golden: Input should be"),
    "path climbs": (list_path("../secret"), errors.UnsafePath, "'../secret' leaves the bundle"),
    "path absolute": (list_path("/etc/passwd"), errors.UnsafePath, "'/etc/passwd' leaves the bundle"),
    "not signed": (lambda f: (f / "signature.json").unlink(), errors.SignatureMissing, "not signed; run"),
    "signature no JSON": (
        lambda f: (f / "signature.json").write_text("x"), errors.SignatureMalformed, "not a sigstore bundle",
    ),
    "no bundle": (shutil.rmtree, errors.BundleNotFound, "no such bundle folder"),
}  # fmt: skip


def test_whole_bundle_is_verified(signed: Path) -> None:
    bundle = verify(signed, signed.parent / "key.pub")
    assert bundle.verified
    assert bundle.digest == read_manifest(signed)[1]
    assert bundle.model_id == "plain"
    assert bundle.model_dir == signed / "model"


@pytest.mark.parametrize("case", CASES)
def test_each_fault_has_its_own_error(signed: Path, case: str) -> None:
    damage, kind, message = CASES[case]
    damage(signed)
    with pytest.raises(BundleError, match=message) as caught:
        verify(signed, signed.parent / "key.pub")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_checks_run_in_a_fixed_order(signed: Path) -> None:
    """Every fault at once: they come to light one by one, in the order that the documentation gives."""
    change_byte(signed)
    (signed / "signature.json").unlink()
    (signed / "model/tokenizer.json").unlink()
    (signed / "extra").write_text("")
    manifest = (signed / MANIFEST_NAME).read_bytes()
    (signed / MANIFEST_NAME).write_text("[")
    (signed / "link").symlink_to("/etc/passwd")
    repairs: list[tuple[type[BundleError], Callable[[], object]]] = [
        (errors.UnsafeSymlink, lambda: (signed / "link").unlink()),
        (errors.ManifestNotJson, lambda: (signed / MANIFEST_NAME).write_bytes(manifest)),
        (errors.MissingFile, lambda: (signed / "model/tokenizer.json").write_text('{"version": "1.0"}')),
        (errors.AddedFile, lambda: (signed / "extra").unlink()),
        (errors.ChangedFile, lambda: change_byte(signed)),
    ]
    for kind, repair in repairs:
        with pytest.raises(kind):
            verify(signed, signed.parent / "key.pub")
        repair()
    with pytest.raises(errors.SignatureMissing):
        verify(signed, signed.parent / "key.pub")


def test_without_a_key_it_says_where_it_looked(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_KEYS", str(signed.parent / "nowhere"))
    with pytest.raises(errors.KeyNotFound, match=r"nowhere/signing\.pub: no public key"):
        verify(signed)


def test_default_key_is_used(signed: Path, original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVIUM_KEYS", str(original / "keys"))
    assert verify(str(signed)).verified


def test_renamed_and_linked_folder_still_verifies(signed: Path) -> None:
    (signed.parent / "current").symlink_to(signed.name)
    assert verify(signed.parent / "current", signed.parent / "key.pub").verified


def test_names_from_a_hostile_bundle_cannot_write_to_the_terminal(signed: Path) -> None:
    (signed / "a\x1b[2J\nb").write_text("")
    with pytest.raises(errors.AddedFile) as caught:
        verify(signed, signed.parent / "key.pub")
    assert str(caught.value).isprintable()


def test_child_gives_the_same_bundle_and_errors(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another working folder, with a folder there that poses as our code."""
    (tmp_path / "work/bundle").mkdir(parents=True)
    (tmp_path / "work/bundle/__init__.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path / "work")
    key = signed.parent / "key.pub"
    assert verify_in_child(signed, key) == verify(signed, key)
    change_byte(signed)
    with pytest.raises(errors.ChangedFile, match=r"model/model\.safetensors: changed"):
        verify_in_child(signed, key)
