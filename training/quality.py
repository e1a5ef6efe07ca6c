"""Quality of answers to a prepared data set's dev inputs: BLEU, chrF and slot errors, each with interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.corpora import References, load_references
from evaluation.scoring import score
from training.examples import ChatTokenizer
from training.generate import generate_greedy
from training.model import Llama
from training.outcome import Figure

METRICS = ("bleu", "chrf", "ser")
MAX_NEW_TOKENS = 128


def dev_set(data: Path, limit: int | None = None) -> References:
    """The first `limit` distinct dev inputs with their references. Raises EvaluationError."""
    every = load_references(data / "references-dev.jsonl")
    return References((every.inputs or [])[:limit], every.groups[:limit])


def figures_of(answers: Sequence[str], wanted: References, resamples: int = 1000) -> list[Figure]:
    """BLEU, chrF and (for attribute lists) slot error rate of one answer per input."""
    report = score(answers, wanted.groups, wanted.inputs, metrics=METRICS, resamples=resamples)
    return [
        Figure(
            metric=m.metric, value=m.value, n=m.n, ci_low=m.ci_low, ci_high=m.ci_high, unit=m.unit,
            higher_is_better=m.higher_is_better,
        )
        for m in report.metrics
    ]  # fmt: skip


def greedy_answers(
    model: Llama, tokenizer: ChatTokenizer, inputs: Sequence[str], max_new_tokens: int = MAX_NEW_TOKENS
) -> list[str]:
    """Greedy answers of our own module to single-turn inputs, in order."""
    prompts = [tokenizer.prompt([{"role": "user", "content": text}]) for text in inputs]
    ids = [tokens.tolist() for tokens in tokenizer.encode(prompts)]
    answers = generate_greedy(model, ids, tokenizer.special["eos"], max_new_tokens)
    return [tokenizer.decode(answer) for answer in answers]
