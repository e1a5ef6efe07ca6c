"""Adapters on disk: PEFT's layout, a note of the base model they belong to, and merging.

`adapter_model.safetensors` and `adapter_config.json` load in PEFT and vLLM; `base.json` holds the digest of
the base model's weights, because an adapter on another model answers nonsense without any error.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.files import atomic_folder, atomic_write, sha256_file
from training.adapters.methods import AdapterError
from training.adapters.settings import MERGEABLE
from training.layout import TOKENIZER_FILES

WEIGHTS = "adapter_model.safetensors"
SETTINGS = "adapter_config.json"
BASE = "base.json"


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """What an adapter folder says about itself."""

    folder: Path
    peft_type: str
    """PEFT's name of the method, for example `LORA`."""
    rank: int | None
    dora: bool
    base: str
    """Folder of the base model when the adapter was trained, or its name in a bundle."""
    base_sha256: str
    """Digest of the base model's `model.safetensors`."""

    @property
    def mergeable(self) -> bool:
        """Whether the result can be written into the weights of the base model."""
        return self.peft_type in ("LORA", "IA3")


def write_adapter(peft: Any, folder: Path, base: Path) -> None:
    """Save the adapter of a PeftModel on the model in `base`, whole or not at all. Raises FileError."""
    config = peft.active_peft_config
    config.base_model_name_or_path = str(base)
    with atomic_folder(folder) as part:
        peft.save_pretrained(part)
        (part / "README.md").unlink(missing_ok=True)  # a form that nobody filled in
        note = {"base_sha256": sha256_file(base / "model.safetensors")}
        (part / BASE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


def read_adapter(folder: Path) -> AdapterInfo:
    """What is in an adapter folder. Raises AdapterError naming what is missing."""
    missing = [name for name in (WEIGHTS, SETTINGS, BASE) if not (folder / name).is_file()]
    if missing:
        raise AdapterError(
            f"{folder}: no adapter ({', '.join(missing)} not there); `python -m training adapt` writes one"
        )
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        base = json.loads((folder / BASE).read_text(encoding="utf-8"))
        return AdapterInfo(
            folder, settings["peft_type"], settings.get("r"), bool(settings.get("use_dora")),
            settings["base_model_name_or_path"], base["base_sha256"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise AdapterError(f"{folder}: the adapter's settings cannot be read: {exc!r}") from exc


def check_base(info: AdapterInfo, base: Path) -> None:
    """Raise AdapterError unless the weights in `base` are those that the adapter was trained on."""
    weights = base / "model.safetensors"
    if not weights.is_file():
        raise AdapterError(f"{base}: no model.safetensors there; give the model that the adapter belongs to")
    there = sha256_file(weights)
    if there != info.base_sha256:
        raise AdapterError(
            f"{info.folder}: belongs to another base model (weights {info.base_sha256[:12]}…), not to {base} "
            f"({there[:12]}…); take the model that it was trained from"
        )


def load_adapted(base: Path, folder: Path) -> Any:
    """The float32 model in `base` with its adapter, ready to answer. Raises AdapterError for another's."""
    from peft import PeftModel

    from evaluation.local import load_local

    check_base(read_adapter(folder), base)
    try:
        return PeftModel.from_pretrained(load_local(base).model, str(folder)).eval()
    except (RuntimeError, ValueError) as exc:
        raise AdapterError(f"{folder}: PEFT cannot load it: {' '.join(str(exc).split())}") from exc


def merge(base: Path, folder: Path, output: Path) -> None:
    """Write the adapter into the weights: a model folder that needs no PEFT.

    Raises AdapterError where that is not possible.
    """
    info = read_adapter(folder)
    if not info.mergeable:
        raise AdapterError(
            f"{folder}: {info.peft_type.lower().replace('_', ' ')} cannot be merged, for virtual tokens are "
            f"no part of the weights; {', '.join(MERGEABLE)} can"
        )
    merged = load_adapted(base, folder).merge_and_unload(safe_merge=True)
    with atomic_folder(output) as part:
        merged.save_pretrained(part)
        for name in TOKENIZER_FILES:
            if (base / name).exists():
                shutil.copyfile(base / name, part / name)


def note_base(folder: Path, name: str) -> None:
    """Name the base model in an adapter's settings, in place of a path of the machine that trained it."""
    path = folder / SETTINGS
    settings = json.loads(path.read_text(encoding="utf-8"))
    settings |= {"base_model_name_or_path": name, "tokenizer_name_or_path": None}
    atomic_write(path, json.dumps(settings, indent=2, sort_keys=True) + "\n")
