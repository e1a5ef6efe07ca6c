"""Write the three documents of a bundle: model card, ML-BOM, manifest."""

from __future__ import annotations

from pathlib import Path

from bundle.card import model_card
from bundle.formats import check_format
from bundle.inventory import file_entry
from bundle.manifest import MANIFEST_NAME, ML_BOM_NAME, MODEL_CARD_NAME, Manifest
from bundle.mlbom import ml_bom
from common.files import atomic_write

_GENERATED = frozenset({MODEL_CARD_NAME, ML_BOM_NAME})


def write_documents(folder: Path, manifest: Manifest) -> Manifest:
    """Write card and ML-BOM for `manifest.files`, then the manifest over all files; returns what was written.

    Raises PickleInDisguise or WrongFormat for a file that no bundle may hold, before anything is written.
    """
    content = [entry for entry in manifest.files if entry.path not in _GENERATED]
    for entry in content:
        check_format(folder / entry.path, entry.path)
    described = manifest.model_copy(update={"files": content})
    atomic_write(folder / MODEL_CARD_NAME, model_card(described))
    atomic_write(folder / ML_BOM_NAME, ml_bom(described))
    generated = [file_entry(folder, name) for name in _GENERATED]
    files = sorted([*content, *generated], key=lambda entry: entry.path)
    whole = manifest.model_copy(update={"files": files})
    atomic_write(folder / MANIFEST_NAME, whole.to_bytes())
    return whole
