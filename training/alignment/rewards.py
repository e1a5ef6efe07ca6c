"""The verifiable reward: slot accuracy and sentence BLEU, computed from the answer's text by program.

    reward = (w_slots * max(0, 1 - errors / slots) + w_bleu * BLEU / 100) / (w_slots + w_bleu)

in [0, 1]; a part that an input does not allow (no attribute list, no references) is left out of both sums. An
answer that never ended gets 0. Slot errors: evaluation/slots. Sentence BLEU: evaluation/metrics/overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from evaluation.metrics.overlap import sentence_bleu
from evaluation.slots.attributes import parse_attributes
from evaluation.slots.matcher import SlotMatcher
from training.alignment.config import RewardConfig
from training.alignment.errors import AlignmentError
from training.alignment.tasks import TaskInput


@dataclass(frozen=True, slots=True)
class Score:
    """One answer, scored."""

    reward: float
    slot_errors: int | None
    """None where the input is no attribute list."""
    bleu: float | None
    """0 to 1; None where there are no references."""


def can_verify(inputs: Sequence[TaskInput]) -> bool:
    """Whether any input has references or is an attribute list."""
    return any(item.references or parse_attributes(item.text) for item in inputs)


class VerifiableReward:
    """Scores answers to a fixed list of inputs; equal answers to an input are scored once."""

    def __init__(self, config: RewardConfig, inputs: Sequence[TaskInput]) -> None:
        self._config = config
        self._inputs = inputs
        self._attributes = [parse_attributes(item.text) for item in inputs]
        self._matcher = SlotMatcher([attributes for attributes in self._attributes if attributes])
        self.score = lru_cache(maxsize=50_000)(self._score)
        if not any(self._weights(index) for index in range(len(inputs))):
            raise AlignmentError(
                "no input has a verifiable reward: none is an attribute list such as name[The Mill], "
                "food[French], and none has references for BLEU; use a reward model instead"
            )

    def __call__(self, index: int, answer: str, *, ended: bool = True) -> float:
        """The reward of `answer` to input `index`."""
        return self.score(index, answer).reward if ended else 0.0

    def _weights(self, index: int) -> tuple[float, float] | None:
        slots = self._config.slots if self._attributes[index] else 0.0
        bleu = self._config.bleu if self._inputs[index].references else 0.0
        return (slots, bleu) if slots + bleu else None

    def _score(self, index: int, answer: str) -> Score:
        attributes, references = self._attributes[index], self._inputs[index].references
        errors = len(self._matcher.errors(attributes, answer)) if attributes else None
        bleu = sentence_bleu(answer, references) / 100 if references else None
        slots, overlap = self._weights(index) or (0.0, 0.0)
        total = 0.0
        if slots and errors is not None:
            total += slots * max(0.0, 1 - errors / len(attributes))
        if overlap and bleu is not None:
            total += overlap * bleu
        return Score(total / (slots + overlap) if slots + overlap else 0.0, errors, bleu)
