"""Which of two answers to the same input is better? Win rates with intervals, and the distance walked.

Judges (ties count half; references are those of held-out inputs, never seen in training):

* `slots`: fewer slot errors wins (evaluation/slots).
* `chrf`: higher sentence chrF2 (Popović 2015, sacrebleu) against the references wins; less than `tie_chrf`
  points apart is a tie. Character n-grams with a stress on recall: not in any reward that is trained on here.
* `lexicographic`: `slots` decides; where it ties, `chrf` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics import CHRF

from common.config import StrictModel
from evaluation.bootstrap import FloatArray, Measure, interval, mean_of
from evaluation.slots.attributes import parse_attributes
from evaluation.slots.matcher import SlotMatcher
from training.alignment.config import JudgeConfig, JudgeName, RewardConfig
from training.alignment.errors import AlignmentError
from training.alignment.tasks import TaskInput

JUDGES: tuple[JudgeName, ...] = ("chrf", "slots", "lexicographic")


class WinRate(StrictModel):
    """How often the first system beat the second; the interval is the 95 % bootstrap over inputs."""

    judge: str
    wins: int
    ties: int
    losses: int
    rate: float
    """(wins + ties / 2) / n."""
    low: float
    high: float


class MeanWithInterval(StrictModel):
    """A mean over inputs with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


class Judge:
    """Compares answers to a fixed list of inputs."""

    def __init__(self, inputs: Sequence[TaskInput], tie_chrf: float) -> None:
        self._inputs = inputs
        self._attributes = [parse_attributes(item.text) for item in inputs]
        self._matcher = SlotMatcher([attributes for attributes in self._attributes if attributes])
        self._chrf = CHRF()
        self._tie = tie_chrf

    @property
    def judges(self) -> tuple[JudgeName, ...]:
        """Those that these inputs allow: slots need attribute lists, chrF needs references.

        Raises AlignmentError where none does.
        """
        references = all(item.references for item in self._inputs)
        slots = all(self._attributes)
        if not references and not slots:
            raise AlignmentError(
                "dev inputs have neither references nor attribute lists: nothing can be judged"
            )
        return JUDGES if references and slots else (("chrf",) if references else ("slots",))

    def compare(self, first: Sequence[str], second: Sequence[str]) -> dict[JudgeName, FloatArray]:
        """Per judge and input 1 where `first` wins, 0 where `second` does, 0.5 for a tie."""
        found: dict[JudgeName, FloatArray] = {}
        if "slots" in self.judges:
            found["slots"] = _verdicts(self._slot_errors(second), self._slot_errors(first), 0.0)
        if "chrf" in self.judges:
            found["chrf"] = _verdicts(self._similarity(first), self._similarity(second), self._tie)
        if "lexicographic" in self.judges:
            slots, chrf = found["slots"], found["chrf"]
            found["lexicographic"] = np.where(slots == 0.5, chrf, slots)
        return found

    def _slot_errors(self, answers: Sequence[str]) -> FloatArray:
        pairs = zip(self._attributes, answers, strict=True)
        return np.array(
            [len(self._matcher.errors(attributes, text)) for attributes, text in pairs], np.float64
        )

    def _similarity(self, answers: Sequence[str]) -> FloatArray:
        scores = [
            self._chrf.sentence_score(text, item.references).score
            for item, text in zip(self._inputs, answers, strict=True)
        ]
        return np.array(scores, np.float64)


def win_rates(compared: dict[JudgeName, FloatArray], resamples: int, seed: int) -> dict[JudgeName, WinRate]:
    """Win rate by every judge, from what `Judge.compare` gave."""
    result: dict[JudgeName, WinRate] = {}
    for name, verdicts in compared.items():
        found = mean_with_interval(verdicts, resamples, seed)
        result[name] = WinRate(
            judge=name, wins=int((verdicts == 1).sum()), ties=int((verdicts == 0.5).sum()),
            losses=int((verdicts == 0).sum()), rate=found.mean, low=found.low, high=found.high,
        )  # fmt: skip
    return result


def headline_judge(
    config: JudgeConfig, reward: RewardConfig | None, allowed: Sequence[JudgeName]
) -> JudgeName:
    """The judge whose figure counts: as configured, or one whose measure is not in the training reward."""
    if config.by != "auto":
        if config.by not in allowed:
            raise AlignmentError(
                f"judge.by: {config.by} cannot judge these inputs; there is {', '.join(allowed)}"
            )
        return config.by
    wanted: JudgeName = "slots" if reward is not None and not reward.slots else "chrf"
    return wanted if wanted in allowed else allowed[0]


def mean_with_interval(values: Sequence[float] | FloatArray, resamples: int, seed: int) -> MeanWithInterval:
    """Mean and bootstrap interval of one number per input (the mean itself where there is only one)."""
    array = np.asarray(values, np.float64)
    rows = np.stack([array, np.ones_like(array)], axis=1)
    measure = Measure("mean", "mean", "", "mean over inputs", rows, mean_of)
    low, high = interval(measure, resamples, seed) or (measure.value, measure.value)
    return MeanWithInterval(mean=measure.value, low=low, high=high, n=len(array))


def examples(
    inputs: Sequence[TaskInput], before: Sequence[str], after: Sequence[str], verdicts: FloatArray, count: int
) -> list[dict[str, Any]]:
    """The first answers that changed, to look at."""
    rows = zip(inputs, before, after, verdicts.tolist(), strict=True)
    changed = [
        {"input": item.text, "before": old, "after": new, "verdict": verdict}
        for item, old, new, verdict in rows
        if old != new
    ]
    return changed[:count]


def _verdicts(first: FloatArray, second: FloatArray, tie: float) -> FloatArray:
    return np.where(first > second + tie, 1.0, np.where(second > first + tie, 0.0, 0.5))
