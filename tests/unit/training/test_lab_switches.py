"""Switches: each pair differs in one thing, sides take turns, and a trial's process ends in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import pytest

from tests.fixtures.tiny_training import TINY
from training.labs.children import Child, TrialError
from training.labs.memory import training_memory
from training.labs.memory_report import shape_of
from training.labs.switches import all_switches, as_json, measure, table
from training.labs.trial import Round, TrialConfig

pytestmark = pytest.mark.unit

BASE = TrialConfig(model=TINY, rows=4, row_tokens=64, vocabulary=320, threads=1)


class Scripted:
    """A child that answers at a given speed and notes when it was asked."""

    order: list[str] = []

    def __init__(self, config: TrialConfig, environment: Mapping[str, str] | None = None) -> None:
        self.name = "on" if config.activation_checkpointing else "off"

    def __enter__(self) -> Scripted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def run(self, steps: int) -> Round:
        self.order.append(self.name)
        speed, peak = (50, 400) if self.name == "on" else (100, 1000)
        return Round(seconds=steps / speed, tokens=steps, losses=[], peak_bytes=peak)


def test_sides_take_turns_and_ratios_are_on_over_off() -> None:
    Scripted.order = []
    outcome = measure(all_switches(BASE)["checkpointing"], 3, 2, Scripted)  # type: ignore[arg-type]
    assert Scripted.order == ["off", "on"] * 4
    assert outcome.speed_ratios == pytest.approx([0.5] * 3)
    assert outcome.memory_ratio == pytest.approx(0.4)
    assert as_json([outcome], BASE)["switches"][0]["speed_ratio"] == pytest.approx(0.5)
    assert "on / off: speed 0.50 (0.50 to 0.50), memory 0.40; same bits" in table([outcome])


@pytest.mark.parametrize("name", list(all_switches(BASE)))
def test_the_two_sides_differ_in_what_the_switch_is_about(name: str) -> None:
    switch = all_switches(BASE)[name]
    off, on = switch.off.model_dump(), switch.on.model_dump()
    changed = {key for key in off if off[key] != on[key]}
    expected: dict[str, set[str]] = {
        "accumulation": {"rows", "accumulate"}, "micro-batch": {"rows"}, "compile": {"compile"},
        "checkpointing": {"activation_checkpointing"}, "precision": {"precision"}, "packing": {"packing"},
        "fused-loss": {"fused_loss"},
    }  # fmt: skip
    assert changed == expected[name]
    if name == "accumulation":
        assert off["rows"] * off["accumulate"] == on["rows"] * on["accumulate"]


def test_a_trial_that_cannot_run_ends_in_words() -> None:
    broken: Any = BASE.model_copy(update={"precision": "fp3"})
    with pytest.raises(TrialError, match="exit code"), Child(broken):
        pass


def test_a_child_measures_steps_in_a_process_of_its_own() -> None:
    config = BASE.model_copy(update={"rows": 32, "row_tokens": 128})
    with Child(config, {"MALLOC_MMAP_THRESHOLD_": "131072"}) as child:
        first, second = child.run(1), child.run(2)
    assert first.tokens == 32 * 128
    assert second.tokens == 2 * first.tokens
    assert len(second.losses) == 2
    # Coarse on purpose, for other work may share the machine: `lab memory --check` is the measurement.
    assert training_memory(shape_of(config)).peak == pytest.approx(second.peak_bytes, rel=0.4)
