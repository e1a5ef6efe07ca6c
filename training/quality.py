"""Quality of answers to a prepared data set's dev inputs: BLEU, chrF and slot errors, each with interval."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.report import MetricResult
from evaluation.scoring import score
from training.examples import ChatTokenizer, ExamplesError
from training.generate import generate_greedy
from training.model import Llama
from training.outcome import Figure

METRICS = ("bleu", "chrf", "ser")
MAX_NEW_TOKENS = 128


@dataclass(frozen=True)
class DevSet:
    """Distinct inputs (content of the user message) and their references."""

    inputs: list[str]
    references: list[list[str]]

    @classmethod
    def read(cls, data: Path, limit: int | None = None, split: str = "dev") -> DevSet:
        """The first `limit` inputs of `references-<split>.jsonl`. Raises ExamplesError."""
        path = data / f"references-{split}.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()[:limit]
            rows = [json.loads(line) for line in lines]
            chosen = cls([row["input"] for row in rows], [row["references"] for row in rows])
        except (OSError, ValueError, KeyError) as exc:
            raise ExamplesError(
                f"{path}: cannot be read ({exc}); `python -m training data` prepares it"
            ) from exc
        if not chosen.inputs:
            raise ExamplesError(f"{path}: is empty: no input to measure quality on")
        return chosen

    def figures(self, answers: Sequence[str], resamples: int = 1000) -> list[Figure]:
        """BLEU, chrF and (for attribute lists) slot error rate of one answer per input."""
        report = score(answers, self.references, self.inputs, metrics=METRICS, resamples=resamples)
        return [figure_of(result) for result in report.metrics]


def figure_of(result: MetricResult) -> Figure:
    """The same figure as the outcome's schema has it."""
    return Figure(
        metric=result.metric, value=result.value, n=result.n, ci_low=result.ci_low, ci_high=result.ci_high,
        unit=result.unit, higher_is_better=result.higher_is_better,
    )  # fmt: skip


def greedy_answers(
    model: Llama, tokenizer: ChatTokenizer, inputs: Sequence[str], max_new_tokens: int = MAX_NEW_TOKENS
) -> list[str]:
    """Greedy answers of our own module to single-turn inputs, in order."""
    prompts = [tokenizer.prompt([{"role": "user", "content": text}]) for text in inputs]
    ids = [tokens.tolist() for tokens in tokenizer.encode(prompts)]
    return [tokenizer.decode(a) for a in generate_greedy(model, ids, tokenizer.special["eos"], max_new_tokens)]
