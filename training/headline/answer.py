"""Answer attribute lists by beam search, and let the slot check choose among the n best.

Reranking by a slot check is what the strong systems of the E2E challenge did (Juraska et al. 2018, Dušek and
Jurčíček 2016). Here the check is the one that also scores (`evaluation/slots`), and a first answer without an
error is never touched: what the model finds most likely stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.slots.attributes import parse_attributes
from evaluation.slots.matcher import SlotMatcher
from training.headline.beam import BeamSearch, n_best


@dataclass(frozen=True)
class Answered:
    """One text per input, and what the slot check found in the first and in the chosen ones."""

    texts: list[str]
    first: list[str]
    """The best of the beam by the model alone."""
    counts_first: list[int]
    """Slot errors per input."""
    counts: list[int]
    slots: int
    """Slots asked for, over all inputs."""

    @property
    def errors_first(self) -> int:
        """Slot errors of the first texts, over all inputs."""
        return sum(self.counts_first)

    @property
    def errors(self) -> int:
        """Slot errors of the chosen texts, over all inputs."""
        return sum(self.counts)


Pick = Callable[[int, Sequence[str]], str]
"""(number of the input, its candidates with the fewest slot errors, best first) to the one to take."""


def answer(model: Path, inputs: Sequence[str], search: BeamSearch) -> Answered:
    """Answer `inputs` (contents of user messages) with the model in a Hugging Face folder."""
    return choose(inputs, n_best(model, inputs, search))


def choose(
    inputs: Sequence[str], candidates: Sequence[Sequence[str]], pick: Pick = lambda _, texts: texts[0]
) -> Answered:
    """One of each input's candidates (best first): of those with the fewest slot errors what `pick` takes, by
    default the first."""
    wanted = [parse_attributes(text) for text in inputs]
    matcher = SlotMatcher(wanted)
    texts, counts_first, counts_best = [], [], []
    for i, (slots, texts_of) in enumerate(zip(wanted, candidates, strict=True)):
        counts = [len(matcher.errors(slots, text)) for text in texts_of]
        fewest = min(counts)
        texts.append(pick(i, [text for text, count in zip(texts_of, counts, strict=True) if count == fewest]))
        counts_first.append(counts[0])
        counts_best.append(fewest)
    first = [texts_of[0] for texts_of in candidates]
    return Answered(texts, first, counts_first, counts_best, sum(map(len, wanted)))


def closest(texts: Sequence[str], references: Sequence[str]) -> str:
    """The text with the highest sentence BLEU (lower-case, 13a) against all references."""
    from evaluation.metrics.overlap import sentence_bleu

    return max(texts, key=lambda text: sentence_bleu(text, references))
