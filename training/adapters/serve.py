"""From a run to what serves it: the adapter inside a bundle, beside others, or merged into the weights."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bundle.edit import add_files
from bundle.opened import Bundle
from training.adapters.files import AdapterInfo, check_base, merge, note_base, read_adapter
from training.adapters.methods import AdapterError
from training.layout import model_folder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def adapter_of(run: Path) -> AdapterInfo:
    """The adapter that a run wrote, or of the adapter folder itself. Raises AdapterError."""
    return read_adapter(run / "adapter" if (run / "adapter").is_dir() else run)


def add_to_bundle(run: Path, bundle_dir: Path, name: str) -> Path:
    """Put a run's adapter into `bundle_dir/adapters/<name>`; a signature, now stale, is removed.

    Raises AdapterError for an adapter of another base model or of a kind that no server loads, BundleError,
    or FileError; the bundle is then unchanged.
    """
    info = adapter_of(run)
    bundle = Bundle.open(bundle_dir)
    if not _NAME.fullmatch(name):
        raise AdapterError(f"--name {name!r}: use letters, digits, dots, dashes and underscores, at most 64")
    if name == bundle.model_id:
        raise AdapterError(f"--name {name}: is the bundle's own model; requests could not tell them apart")
    if info.peft_type != "LORA" or info.dora:
        kind = "dora" if info.dora else info.peft_type.lower().replace("_", " ")
        merging = "`python -m training adapter merge` writes this one into the weights"
        hint = merging if info.mergeable else "this one runs in transformers with PEFT alone"
        raise AdapterError(f"{info.folder}: a {kind} adapter; vLLM loads only plain LoRA: {hint}")
    check_base(info, bundle.model_dir)
    with add_files(bundle_dir, f"adapters/{name}") as folder:
        for path in info.folder.iterdir():
            shutil.copyfile(path, folder / path.name)
        note_base(folder, bundle.model_id)
    return bundle_dir / "adapters" / name


def merge_run(run: Path, output: Path, base: Path | None = None) -> None:
    """Write a run's adapter into the weights of its base model, as a model folder for bundle and edge.

    `base` is the base model where it is no longer at the place that the run noted. Raises AdapterError.
    """
    info = adapter_of(run)
    merge(model_folder(base or Path(info.base)), info.folder, output)
