"""Variants are added whole or not at all, and a changed bundle must be signed again."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bundle import Bundle, check_content, errors, verify
from bundle.edit import add_files, refresh_manifest
from bundle.keys import ensure_key_pair
from bundle.signing import sign
from common.files import FileError
from tests.fixtures.plain_bundle import build_plain_bundle

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = build_plain_bundle(tmp_path)
    sign(path, ensure_key_pair(tmp_path / "keys")[0])
    return path


def write_variant(folder: Path, size: int = 1000) -> None:
    (folder / "model.onnx").write_bytes(b"\x08\x0a\x12\x04test")
    (folder / "model.onnx.data").write_bytes(b"\x00" * size)
    (folder / "model.onnx.data").chmod(0o600)


def state(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_variant_is_listed_and_measured(folder: Path, tmp_path: Path) -> None:
    before = Bundle.open(folder)
    assert before.variants == ()
    for variant in ("int4", "fp32"):
        with add_files(folder, f"onnx/{variant}") as new:
            write_variant(new)
    bundle = check_content(folder)
    assert bundle.variants == ("fp32", "int4")
    assert bundle.formats == ("safetensors", "fp32", "int4")
    assert bundle.onnx_dir("int4") == folder / "onnx/int4"
    assert bundle.artifact_bytes("int4") == 1008
    assert bundle.artifact_bytes("safetensors") == before.artifact_bytes("safetensors") > 1000
    assert bundle.digest != before.digest
    assert "`onnx/int4/`" in (folder / "MODEL_CARD.md").read_text()
    assert "onnx/int4/model.onnx.data" in (folder / "mlbom.cdx.json").read_text()
    assert (folder / "onnx/int4/model.onnx.data").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in folder.parent.iterdir()] == ["1"]


def test_changed_bundle_must_be_signed_again(folder: Path, tmp_path: Path) -> None:
    with add_files(folder, "onnx/int4") as new:
        write_variant(new)
    public = tmp_path / "keys/signing.pub"
    with pytest.raises(errors.SignatureMissing):
        verify(folder, public)
    sign(folder, tmp_path / "keys/signing.key")
    assert verify(folder, public).variants == ("int4",)


def test_variant_that_is_not_there_names_those_that_are(folder: Path) -> None:
    with pytest.raises(errors.VariantNotFound, match=r"no ONNX variant 'int4'; there: none; .* makes them"):
        Bundle.open(folder).onnx_dir("int4")
    with add_files(folder, "onnx/fp32") as new:
        write_variant(new)
    with pytest.raises(errors.VariantNotFound, match="no ONNX variant 'int8'; there: fp32"):
        Bundle.open(folder).artifact_bytes("int8")


def test_adding_again_replaces(folder: Path) -> None:
    for size in (1000, 10):
        with add_files(folder, "onnx/int4") as new:
            write_variant(new, size)
    assert check_content(folder).artifact_bytes("int4") == 18


def write_pickle(new: Path) -> None:
    write_variant(new)
    (new / "extra.data").write_bytes(pickle.dumps({"a": 1}))


def link_out(new: Path) -> None:
    (new / "model.onnx").symlink_to("/etc/passwd")


def fail(new: Path) -> None:
    write_variant(new)
    raise OSError(28, "No space left on device")


def interrupt(new: Path) -> None:
    write_variant(new)
    raise KeyboardInterrupt


FAILURES: dict[str, tuple[Callable[[Path], object], type[BaseException], str]] = {
    "pickle": (write_pickle, errors.PickleInDisguise, r"onnx/int4/extra\.data: pickle in disguise"),
    "link": (link_out, errors.UnsafeSymlink, "symbolic link out"),
    "nothing": (lambda new: None, errors.BundleError, "nothing was written"),
    "disk full": (fail, FileError, "No space left on device"),
    "interrupted": (interrupt, KeyboardInterrupt, "^$"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failed_export_leaves_the_bundle_as_it_was(folder: Path, tmp_path: Path, case: str) -> None:
    work, kind, message = FAILURES[case]
    before = state(folder)
    with pytest.raises(kind, match=message), add_files(folder, "onnx/int4") as new:
        work(new)
    assert state(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["1"]
    assert verify(folder, tmp_path / "keys/signing.pub").verified


@pytest.mark.parametrize("name", ["model", "model/x", "onnx", "onnx/a/b", "../x", "/tmp/x", "onnx/../model"])
def test_only_variants_and_adapters_are_added(folder: Path, name: str) -> None:
    with pytest.raises(errors.BundleError), add_files(folder, name):
        raise AssertionError("must not get here")


def test_refresh_lists_what_is_there(folder: Path, tmp_path: Path) -> None:
    (folder / "onnx/int4").mkdir(parents=True)
    write_variant(folder / "onnx/int4")
    with pytest.raises(errors.AddedFile):
        check_content(folder)
    assert refresh_manifest(folder).variants == ("int4",)
    shutil.rmtree(folder / "onnx")
    assert refresh_manifest(folder).variants == ()
    assert check_content(folder)
    assert not (folder / "signature.json").exists()


def test_refresh_without_a_change_keeps_the_signature(folder: Path, tmp_path: Path) -> None:
    refresh_manifest(folder)
    assert verify(folder, tmp_path / "keys/signing.pub").verified


def test_exports_at_once_do_not_lose_each_other(folder: Path) -> None:
    def export(number: int) -> None:
        with add_files(folder, f"onnx/v{number}") as new:
            write_variant(new)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(export, range(6)))
    assert check_content(folder).variants == tuple(f"v{number}" for number in range(6))
