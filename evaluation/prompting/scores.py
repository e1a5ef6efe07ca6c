"""Scores of answers to a task: the metrics of this room, and exact match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from evaluation.bootstrap import Measure, compare, mean_of
from evaluation.errors import EvaluationError
from evaluation.prompting.examples import Example
from evaluation.prompting.task import EXACT
from evaluation.report import ComparisonResult, MetricResult, result_of
from evaluation.scoring import score


def exact_match(answers: Sequence[str], examples: Sequence[Example]) -> Measure:
    """Percent of answers that equal a reference but for white space, case and a final full stop."""
    hits = [
        100.0 * (_plain(answer) in {_plain(reference) for reference in example.references})
        for answer, example in zip(answers, examples, strict=True)
    ]
    rows = np.array([[hit, 1.0] for hit in hits])
    return Measure(
        EXACT, "exact match", "%", "answers that equal a reference but for white space, case, full stop",
        rows, mean_of,
    )  # fmt: skip


def _plain(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").casefold()


def results(
    answers: Sequence[str], examples: Sequence[Example], metrics: Sequence[str], resamples: int, seed: int
) -> list[MetricResult]:
    """Every metric, in the order asked for. Raises EvaluationError for one that these inputs do not allow."""
    others = [name for name in metrics if name != EXACT]
    found: dict[str, MetricResult] = {}
    if EXACT in metrics:
        found[EXACT] = result_of(exact_match(answers, examples), resamples, seed)
    if others:
        report = score(
            answers, [e.references for e in examples], [e.key for e in examples], metrics=others,
            resamples=resamples, seed=seed,
        )  # fmt: skip
        if report.unavailable:
            name, why = next(iter(report.unavailable.items()))
            raise EvaluationError(f"metric {name!r} cannot be measured on this task: {why}")
        found |= {result.metric: result for result in report.metrics}
    return [found[name] for name in dict.fromkeys(metrics)]


def value(answers: Sequence[str], examples: Sequence[Example], metric: str) -> tuple[float, bool]:
    """One metric without its interval, and whether higher is better."""
    found = results(answers, examples, [metric], 0, 0)[0]
    return found.value, found.higher_is_better is not False


def differences(
    answers: Sequence[str], others: Sequence[str], examples: Sequence[Example], metrics: Sequence[str],
    resamples: int, seed: int,
) -> list[ComparisonResult]:  # fmt: skip
    """`answers` minus `others` on the same inputs, in pairs."""
    found: dict[str, ComparisonResult] = {}
    if EXACT in metrics:
        mine, theirs = exact_match(answers, examples), exact_match(others, examples)
        tested = compare(mine, theirs, resamples, seed)
        values = asdict(tested) if tested else {"difference": mine.value - theirs.value}
        found[EXACT] = ComparisonResult(
            metric=EXACT, label=mine.label, value=mine.value, other=theirs.value, **values
        )
    names = [name for name in metrics if name != EXACT]
    if names:
        report = score(
            answers, [e.references for e in examples], [e.key for e in examples], metrics=names,
            resamples=resamples, seed=seed, against=others,
        )  # fmt: skip
        found |= {result.metric: result for result in report.comparison or []}
    return [found[name] for name in dict.fromkeys(metrics) if name in found]
