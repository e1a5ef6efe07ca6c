"""`python -m training lab memory --check`: predicted memory and speed against trained steps."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.config import resolve_model
from training.labs.children import GIVE_BACK, Child
from training.labs.memory import training_memory
from training.labs.memory_report import best_speed, predicted_speed, shape_of
from training.labs.trial import TrialConfig
from training.model import ModelConfig

TOLERANCE = 0.15
"""Largest relative difference between predicted and measured peak memory or speed that the check accepts."""
_CHECK_STEPS = 3
"""The first has no optimizer states yet; the peak is that of the later ones."""
_MB = 1e6


@dataclass(frozen=True, slots=True)
class Checked:
    """One shape, predicted and measured."""

    name: str
    predicted_bytes: int
    measured_bytes: int
    """Peak resident memory above the process with its libraries, freed blocks given back."""
    default_bytes: int
    """The same with the allocator's own settings: what a job's resident memory grows by."""
    predicted_speed: float
    measured_speed: float

    @property
    def error(self) -> float:
        """Relative, of the predicted memory."""
        return self.predicted_bytes / self.measured_bytes - 1

    @property
    def speed_error(self) -> float:
        """Relative, of the predicted tokens/s."""
        return self.predicted_speed / self.measured_speed - 1


def check_cases(threads: int) -> dict[str, TrialConfig]:
    """Shapes that differ in size, rows, length, precision and checkpointing."""
    narrow = ModelConfig(
        hidden_size=128, intermediate_size=352, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    nano, small = resolve_model("nano"), resolve_model("small")

    def case(model: ModelConfig, rows: int, **more: Any) -> TrialConfig:
        return TrialConfig(model=model, rows=rows, threads=threads, **more)

    return {
        "0.9 M, 4 x 256": case(narrow, 4, vocabulary=1024),
        "0.9 M, 32 x 128": case(narrow, 32, row_tokens=128, vocabulary=1024),
        "0.9 M, 16 x 256, checkpointing": case(narrow, 16, vocabulary=1024, activation_checkpointing=True),
        "nano, 4 x 256": case(nano, 4),
        "nano, 8 x 256, checkpointing": case(nano, 8, activation_checkpointing=True),
        "small, 2 x 256": case(small, 2),
        "0.9 M, 4 x 256, bf16": case(narrow, 4, vocabulary=1024, precision="bf16"),
        "nano, 4 x 256, bf16": case(nano, 4, precision="bf16"),
    }


def compare(cases: dict[str, TrialConfig]) -> list[Checked]:
    """Train a few steps of every shape in processes of their own, and set the figures side by side."""
    results = []
    for number, (name, config) in enumerate(cases.items(), start=1):
        print(f"check {number} of {len(cases)}: {name}", file=sys.stderr, flush=True)
        speed = predicted_speed(config)
        with Child(config, GIVE_BACK) as exact:
            measured = exact.run(_CHECK_STEPS)
        with Child(config) as default:
            usual = default.run(_CHECK_STEPS)
            fastest = best_speed(default)
        results.append(
            Checked(
                name, training_memory(shape_of(config)).peak, measured.peak_bytes, usual.peak_bytes,
                speed, fastest,
            )
        )  # fmt: skip
    return results


def check_table(results: Sequence[Checked]) -> str:
    """The check for people."""
    names = ("predicted", "measured", "error", "default", "predicted", "measured", "error")
    units = ("MB", "MB", "", "malloc MB", "tokens/s", "tokens/s", "")
    lines = [" " * 32 + "".join(f"{name:>11}" for name in line) for line in (names, units)]
    for one in results:
        sizes = (one.predicted_bytes, one.measured_bytes, one.default_bytes)
        predicted, measured, default = (f"{size / _MB:,.1f}" for size in sizes)
        speeds = (f"{one.predicted_speed:,.0f}", f"{one.measured_speed:,.0f}")
        cells = (predicted, measured, f"{one.error:+.1%}", default, *speeds, f"{one.speed_error:+.1%}")
        lines.append(f"{one.name:32}" + "".join(f"{cell:>11}" for cell in cells))
    fitting, timely = (
        sum(abs(error) <= TOLERANCE for error in errors)
        for errors in ([one.error for one in results], [one.speed_error for one in results])
    )
    lines += [
        f"Within {TOLERANCE:.0%}: memory {fitting} of {len(results)}, speed {timely} of {len(results)}. "
        "Memory is the growth of resident memory over the",
        "process with its libraries warm, freed blocks given back to the system "
        "(MALLOC_MMAP_THRESHOLD_=131072); default malloc keeps some.",
        "Speed is the fastest of some rounds, predicted from steps of one and two layers.",
    ]
    return "\n".join(lines)
