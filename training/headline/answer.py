"""Answer attribute lists by beam search, and let the slot check choose among the n best.

Reranking by a slot check is what the strong systems of the E2E challenge did (Juraska et al. 2018, Dušek and
Jurčíček 2016). Here the check is the one that also scores (`evaluation/slots`), and a first answer without an
error is never touched: what the model finds most likely stays.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    errors_first: int
    errors: int
    slots: int
    """Slots asked for, over all inputs."""


def answer(model: Path, inputs: Sequence[str], search: BeamSearch) -> Answered:
    """Answer `inputs` (contents of user messages) with the model in a Hugging Face folder."""
    return choose(inputs, n_best(model, inputs, search))


def choose(
    inputs: Sequence[str], candidates: Sequence[Sequence[str]], references: Sequence[Sequence[str]] = ()
) -> Answered:
    """Of each input's candidates (best first) the first one with the fewest slot errors; with references of
    each input, of those with the fewest slot errors the one that is closest to them (sentence BLEU)."""
    wanted = [parse_attributes(text) for text in inputs]
    matcher = SlotMatcher(wanted)
    texts, errors_first, errors = [], 0, 0
    for i, (slots, texts_of) in enumerate(zip(wanted, candidates, strict=True)):
        counts = [len(matcher.errors(slots, text)) for text in texts_of]
        fewest = min(counts)
        passed = [text for text, count in zip(texts_of, counts, strict=True) if count == fewest]
        texts.append(closest(passed, references[i]) if references else passed[0])
        errors_first += counts[0]
        errors += fewest
    first = [texts_of[0] for texts_of in candidates]
    return Answered(texts, first, errors_first, errors, sum(map(len, wanted)))


def closest(texts: Sequence[str], references: Sequence[str]) -> str:
    """The text with the highest sentence BLEU (lower-case, 13a) against all references."""
    from evaluation.metrics.overlap import sentence_bleu

    return max(texts, key=lambda text: sentence_bleu(text, references))
