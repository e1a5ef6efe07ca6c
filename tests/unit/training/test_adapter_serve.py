"""Adapters into bundles: only plain LoRA of the bundle's own model, and the bundle whole when refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.opened import Bundle
from common.files import sha256_file
from tests.fixtures.plain_bundle import build_plain_bundle
from training.adapters.methods import AdapterError
from training.adapters.serve import add_to_bundle

pytestmark = pytest.mark.unit


def write_folder(folder: Path, base: str, **settings: object) -> Path:
    """The files of an adapter, with no weights worth the name."""
    folder.mkdir()
    values = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "/home/me/runs/base", **settings}
    (folder / "adapter_config.json").write_text(json.dumps(values))
    (folder / "base.json").write_text(json.dumps({"base_sha256": base}))
    header = b"{}      "
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder


def test_an_adapter_joins_the_manifest_and_forgets_the_machine_that_made_it(tmp_path: Path) -> None:
    bundle = build_plain_bundle(tmp_path)
    base = sha256_file(bundle / "model" / "model.safetensors")
    folder = add_to_bundle(write_folder(tmp_path / "adapter", base), bundle, "polite")
    listed = {entry.path for entry in Bundle.open(bundle).manifest.files}
    assert "adapters/polite/adapter_model.safetensors" in listed
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "plain"
    assert settings["r"] == 8


@pytest.mark.parametrize(
    ("name", "settings", "own_base", "message"),
    [
        ("polite", {}, False, "belongs to another base model"),
        ("polite", {"use_dora": True}, True, "a dora adapter; vLLM loads only plain LoRA: `python -m"),
        ("polite", {"peft_type": "PREFIX_TUNING"}, True, "a prefix tuning adapter; .* PEFT alone"),
        ("plain", {}, True, "is the bundle's own model"),
        ("../polite", {}, True, "use letters, digits"),
    ],
)
def test_what_no_server_could_load_is_refused_and_the_bundle_unchanged(
    tmp_path: Path, name: str, settings: dict[str, object], own_base: bool, message: str
) -> None:
    bundle = build_plain_bundle(tmp_path)
    before = Bundle.open(bundle).digest
    base = sha256_file(bundle / "model" / "model.safetensors") if own_base else "0" * 64
    adapter = write_folder(tmp_path / "adapter", base, **settings)
    with pytest.raises(AdapterError, match=message):
        add_to_bundle(adapter, bundle, name)
    assert Bundle.open(bundle).digest == before
    assert not (bundle / "adapters").exists()
