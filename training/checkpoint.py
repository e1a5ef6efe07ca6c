"""Checkpoints: whole or not there, never pickle, and refused where they belong to another job.

`checkpoints/step-00000200/` holds `state.safetensors` (master weights, optimizer state, random state) and
`state.json` (position in the data, counters, the settings). A run that continues from one ends with the same
bits as a run that was never interrupted.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.errors import TriviumError
from common.files import FileError, atomic_folder


class CheckpointError(TriviumError):
    """A checkpoint cannot be written or read, or belongs to a job with other settings."""


@dataclass(slots=True)
class Progress:
    """Where a run stands."""

    step: int = 0
    """Optimizer steps done."""
    epoch: int = 0
    row: int = 0
    """Packed rows of the epoch that were used."""
    tokens: int = 0
    """Positions trained on, without padding."""
    positions: int = 0
    """Positions computed, padding included."""
    target_tokens: int = 0
    """Positions that carried loss."""
    seconds: float = 0.0
    """Wall time so far, over all interruptions."""
    best_dev_loss: float | None = None
    last_dev_loss: float | None = None


class Checkpoints:
    """The checkpoints of one run; `identity` is what one must share with the run that resumes from it."""

    def __init__(self, folder: Path, identity: dict[str, Any], keep: int) -> None:
        self.folder = folder
        # What JSON makes of it, so that it compares equal with what is read back.
        self._identity = json.loads(json.dumps(identity, default=str))
        self._keep = keep

    def newest(self) -> Path | None:
        """The last whole checkpoint, or None."""
        found = sorted(self.folder.glob("step-*/state.json"))
        return found[-1].parent if found else None

    def save(self, progress: Progress, tensors: dict[str, Tensor]) -> Path:
        """Write one, then remove those beyond `keep`. Raises CheckpointError; older ones stay whole."""
        path = self.folder / f"step-{progress.step:08d}"
        state = {"progress": asdict(progress), "identity": self._identity}
        try:
            with atomic_folder(path) as part:
                save_file({**tensors, "random": torch.get_rng_state()}, part / "state.safetensors")
                (part / "state.json").write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
        except (FileError, SafetensorError) as exc:
            older = self.newest()
            kept = f"{older} is whole and the run can go on from it" if older else "there is none before it"
            raise CheckpointError(f"checkpoint of step {progress.step}: {exc}; {kept}") from exc
        for old in sorted(self.folder.glob("step-*"))[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        return path

    def load(self, path: Path) -> tuple[Progress, dict[str, Tensor]]:
        """Read a checkpoint and set the random state. Raises CheckpointError for one of another job."""
        try:
            state = json.loads((path / "state.json").read_text(encoding="utf-8"))
            tensors = load_file(path / "state.safetensors")
            differences = compare(state["identity"], self._identity)
            progress = Progress(**state["progress"])
            random = tensors.pop("random")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as exc:
            raise CheckpointError(
                f"{path}: cannot be read ({exc}); remove that folder to go on without it"
            ) from exc
        if differences:
            raise CheckpointError(
                f"{path}: belongs to a run with other settings ({'; '.join(differences)}); set them back, "
                "choose another --output, or start again with --fresh"
            )
        torch.set_rng_state(random)
        return progress, tensors


def compare(saved: Any, wanted: Any, key: str = "") -> list[str]:
    """The keys whose values differ, each as `key: saved -> wanted`."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        names = sorted(saved.keys() | wanted.keys())
        parts = (compare(saved.get(n), wanted.get(n), f"{key}.{n}" if key else n) for n in names)
        return [difference for part in parts for difference in part]
    return [] if saved == wanted else [f"{key}: {saved} -> {wanted}"]
