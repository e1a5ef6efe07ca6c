"""The arms of a comparison side by side, read from what the search and the soft prompts left on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from common.config import StrictModel
from common.errors import TriviumError
from evaluation.prompting.examples import Pools
from evaluation.prompting.job import HELD_OUT, REPORT
from evaluation.prompting.report import SearchReport
from evaluation.prompting.scores import differences, results
from evaluation.prompting.task import PromptTask
from evaluation.report import ComparisonResult, MetricResult
from training.measure import ANSWERS
from training.outcome import Outcome


class PromptsError(TriviumError):
    """A comparison lacks something that an earlier step should have left."""


class Row(StrictModel):
    """One way to a prompt."""

    key: str
    label: str
    words: str
    """The prompt, or what was learnt."""
    is_learnt: bool
    metrics: list[MetricResult]
    against_none: list[ComparisonResult]
    against_best: list[ComparisonResult]
    """Minus the best prompt found, in pairs."""
    spent: int
    """Forward tokens to find it; none for what nobody searched for."""
    seconds: float
    prompt_tokens: float
    """Mean positions in front of an answer, virtual ones included: what every request pays."""
    cut_inputs: int = 0
    """Inputs for which the context was too short for all demonstrations."""
    trainable_parameters: int = 0
    artifact_bytes: int

    def metric(self, key: str) -> MetricResult:
        """The figure of a metric. Raises KeyError."""
        return {metric.metric: metric for metric in self.metrics}[key]


def read_search(folder: Path) -> SearchReport:
    """The report of a finished search. Raises PromptsError."""
    path = folder / REPORT
    try:
        return SearchReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as exc:
        raise PromptsError(f"{path}: no readable report ({exc}); run the search again") from exc


def read_answers(path: Path, pools: Pools) -> list[str]:
    """The answers to the held-out inputs, in their order. Raises PromptsError."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found = {row["input"]: str(row["output"]) for row in rows}
        return [found[example.key] for example in pools.report]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise PromptsError(f"{path}: not the answers to this task's held-out inputs ({exc!r})") from exc


def make_rows(task: PromptTask, pools: Pools, search: Path, soft: Sequence[Path]) -> list[Row]:
    """Written prompts, then learnt ones, each tested in pairs against none and against the best written."""
    report = read_search(search)
    none, best = (read_answers(search / HELD_OUT / f"{key}.jsonl", pools) for key in ("none", "best"))
    rows = []
    for arm in report.arms:
        answers = read_answers(search / HELD_OUT / f"{arm.key}.jsonl", pools)
        found = arm.key == "best"
        rows.append(Row(
            key=arm.key, label=arm.label, words=arm.candidate.words(), is_learnt=False, metrics=arm.metrics,
            against_none=arm.against_none,
            against_best=[] if found else _against(task, pools, answers, best),
            spent=report.spent if found else 0, seconds=report.seconds if found else 0.0,
            prompt_tokens=arm.prompt_tokens, cut_inputs=arm.cut_inputs,
            artifact_bytes=len(arm.example.encode()),
        ))  # fmt: skip
    plain = report.arm("none").prompt_tokens
    return [*rows, *(_learnt(task, pools, folder, plain, none, best) for folder in soft)]


def _learnt(
    task: PromptTask, pools: Pools, folder: Path, plain: float, none: list[str], best: list[str]
) -> Row:
    outcome = Outcome.read(folder)
    answers = read_answers(folder / ANSWERS, pools)
    virtual = float(outcome.details["virtual_tokens"])
    return Row(
        key=outcome.technique, label=outcome.label.removesuffix(", task budget"),
        words=f"{virtual:.0f} virtual tokens, {outcome.trainable_parameters:,} parameters", is_learnt=True,
        metrics=results(answers, pools.report, task.metrics, task.resamples, task.seed),
        against_none=_against(task, pools, answers, none), against_best=_against(task, pools, answers, best),
        spent=int(float(outcome.details["spent"])), seconds=outcome.train_seconds,
        prompt_tokens=plain + virtual, trainable_parameters=outcome.trainable_parameters,
        artifact_bytes=outcome.artifact_bytes,
    )  # fmt: skip


def _against(task: PromptTask, pools: Pools, answers: list[str], others: list[str]) -> list[ComparisonResult]:
    return differences(answers, others, pools.report, task.metrics, task.resamples, task.seed)


def verdicts(rows: Sequence[Row], metric: str) -> list[tuple[str, str]]:
    """The page's first sentences: question and answer, each from a test in pairs on the deciding metric."""
    best = next(row for row in rows if row.key == "best")
    made = [("Does a written prompt help?", _says(best, best.against_none, "no prompt", metric))]
    few = next((row for row in rows if row.key == "few-shot"), None)
    if few is not None:
        made.append(("Do demonstrations alone help?", _says(few, few.against_none, "no prompt", metric)))
    made += [
        (
            f"{row.label} or the best written prompt?",
            _says(row, row.against_best, "the best written prompt", metric),
        )
        for row in rows
        if row.is_learnt
    ]
    return made


def _says(row: Row, tests: Sequence[ComparisonResult], other: str, metric: str) -> str:
    found = next((test for test in tests if test.metric == metric), None)
    if found is None:
        return f"{row.label} was not tested against {other}"
    figures = f"{found.difference:+.2f} {found.label}"
    if found.ci_low is None or found.ci_high is None:
        return f"{row.label} against {other}: {figures}"
    figures += f" [{found.ci_low:+.2f}, {found.ci_high:+.2f}]"
    if found.ci_low <= 0 <= found.ci_high:
        return f"{row.label} cannot be told from {other}: {figures}"
    higher = row.metric(metric).higher_is_better is not False
    word = "better" if (found.difference > 0) == higher else "worse"
    return f"{row.label} does {word} than {other}: {figures}"
