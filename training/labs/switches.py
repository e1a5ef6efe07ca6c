"""`python -m training lab switches`: what each switch of the training step brings, on against off.

Both positions of a switch run in processes of their own, and are asked for steps in turns, so that other work
on the machine hurts both alike; a figure is the median over the rounds. Peak memory is that of the process
above its warm libraries, freed blocks given back to the system.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training import hardware
from training.labs.children import GIVE_BACK, Child
from training.labs.trial import TrialConfig

_WARMUP_STEPS = 2


@dataclass(frozen=True, slots=True)
class Switch:
    """Two trials that differ in one thing."""

    name: str
    off: TrialConfig
    on: TrialConfig
    off_label: str
    on_label: str
    note: str = ""


@dataclass(slots=True)
class Side:
    """One position of a switch."""

    label: str
    tokens_per_second: list[float]
    """One figure a round; padding does not count."""
    peak_bytes: int
    warmup_seconds: float
    """First steps: compilation, kernels, optimizer states."""

    @property
    def median(self) -> float:
        """Median tokens/s."""
        return statistics.median(self.tokens_per_second)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A measured switch."""

    name: str
    off: Side
    on: Side
    note: str

    @property
    def speed_ratios(self) -> list[float]:
        """On over off, round by round."""
        pairs = zip(self.on.tokens_per_second, self.off.tokens_per_second, strict=True)
        return [on / off for on, off in pairs]

    @property
    def memory_ratio(self) -> float:
        """On over off."""
        return self.on.peak_bytes / self.off.peak_bytes


def all_switches(base: TrialConfig) -> dict[str, Switch]:
    """The switches by name; `base` is what they start from."""

    def pair(
        name: str, off: dict[str, Any], on: dict[str, Any], labels: tuple[str, str], note: str = ""
    ) -> Switch:
        return Switch(name, base.model_copy(update=off), base.model_copy(update=on), *labels, note)

    rows = base.rows
    emulated = "" if hardware.bf16_support() else "bf16 is emulated on this chip: it can only lose speed"
    compiler = "" if hardware.can_compile() else "no C++ compiler here: left out"
    listed = [
        pair(
            "accumulation", {"rows": 4 * rows}, {"accumulate": 4}, (f"{4 * rows} rows", f"4 x {rows} rows"),
            "same effective batch",
        ),
        pair("micro-batch", {"rows": max(1, rows // 4)}, {}, (f"{max(1, rows // 4)} rows", f"{rows} rows")),
        pair(
            "checkpointing", {}, {"activation_checkpointing": True}, ("all kept", "recomputed"), "same bits"
        ),
        pair("precision", {"precision": "fp32"}, {"precision": "bf16"}, ("fp32", "bf16"), emulated),
        pair("compile", {}, {"compile": True}, ("eager", "torch.compile"), compiler),
        pair(
            "packing", {"texts": "short", "packing": False}, {"texts": "short"},
            ("a text a row", "packed"), "texts of a quarter row; padding is no token",
        ),
        pair("fused-loss", {"fused_loss": False}, {}, ("all logits", "by slices")),
    ]  # fmt: skip
    return {switch.name: switch for switch in listed}


def measure(switch: Switch, rounds: int, steps: int, open_child: Callable[..., Child] = Child) -> Outcome:
    """Warm both sides up, then let them take turns."""
    with open_child(switch.off, GIVE_BACK) as off, open_child(switch.on, GIVE_BACK) as on:
        sides = [_warm(off, switch.off_label), _warm(on, switch.on_label)]
        for _ in range(rounds):
            for child, side in zip((off, on), sides, strict=True):
                result = child.run(steps)
                side.tokens_per_second.append(result.tokens_per_second)
                side.peak_bytes = result.peak_bytes
    return Outcome(switch.name, sides[0], sides[1], switch.note)


def _warm(child: Child, label: str) -> Side:
    started = time.perf_counter()
    peak = child.run(_WARMUP_STEPS).peak_bytes
    return Side(label, [], peak, time.perf_counter() - started)


def measure_all(switches: Sequence[Switch], rounds: int, steps: int) -> list[Outcome]:
    """All that can run here, one switch after the other."""
    outcomes = []
    for number, switch in enumerate(switches, start=1):
        if switch.on.compile and not hardware.can_compile():
            print(f"{switch.name}: {switch.note}", file=sys.stderr)
            continue
        print(f"switch {number} of {len(switches)}: {switch.name}", file=sys.stderr, flush=True)
        outcomes.append(measure(switch, rounds, steps))
    return outcomes


def as_json(outcomes: Sequence[Outcome], base: TrialConfig) -> dict[str, Any]:
    """Everything measured, for the file."""
    return {
        "base": base.model_dump(), "bf16_unit": hardware.bf16_support(),
        "switches": [
            {
                **asdict(one), "speed_ratio": statistics.median(one.speed_ratios),
                "memory_ratio": one.memory_ratio,
            }
            for one in outcomes
        ],
    }  # fmt: skip


def table(outcomes: Sequence[Outcome]) -> str:
    """The figures for people: speed as median (lowest to highest), memory, ratios on over off."""
    lines = [
        f"{'switch':14} {'':14} {'tokens/s':>9} {'lowest':>8} {'highest':>8} {'peak MB':>8} {'warm-up':>8}"
    ]
    for one in outcomes:
        for name, side in ((one.name, one.off), ("", one.on)):
            low, high = min(side.tokens_per_second), max(side.tokens_per_second)
            lines.append(
                f"{name:14} {side.label:14} {side.median:>9,.0f} {low:>8,.0f} {high:>8,.0f} "
                f"{side.peak_bytes / 1e6:>8,.0f} {side.warmup_seconds:>6.1f} s"
            )
        ratios, note = one.speed_ratios, f"; {one.note}" if one.note else ""
        lines.append(
            f"{'':14} on / off: speed {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}), memory {one.memory_ratio:.2f}{note}"
        )
    return "\n".join(lines)
