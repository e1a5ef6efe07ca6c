"""What a prompt search found: a record for programs, a table for people."""

from __future__ import annotations

from typing import Any

from common.config import StrictModel
from evaluation.prompting.candidates import Candidate
from evaluation.prompting.search import Trial
from evaluation.report import ComparisonResult, MetricResult, results_as_text

SCHEMA = "trivium.prompt-search/v1"


class Arm(StrictModel):
    """One prompt on the held-out inputs."""

    key: str
    """`none`, `written`, `few-shot` or `best`."""
    label: str
    candidate: Candidate
    metrics: list[MetricResult]
    against_none: list[ComparisonResult]
    """Minus the input as it is, in pairs; empty for that one."""
    prompt_tokens: float
    """Mean of an input."""
    demonstrations: float
    """Mean of those that fitted."""
    cut_inputs: int
    """Inputs with fewer demonstrations than the candidate has, for want of context."""
    example: str
    """The prompt of the first held-out input, roles in angle brackets."""


class SearchReport(StrictModel):
    """`report.json` of a search."""

    schema_version: str = SCHEMA
    task: dict[str, Any]
    model: str
    counted: str
    budget: int
    spent: int
    """Forward tokens of the search; the held-out report is not in it."""
    questions: int
    """Different prompts that were asked in the search."""
    seconds: float
    """That the model took for the answers of the search, also those of a run that was interrupted."""
    peak_rss_bytes: int
    """Largest resident memory of this process."""
    best: Candidate
    arms: list[Arm]
    trials: list[Trial]
    notes: list[str]

    def arm(self, key: str) -> Arm:
        """The arm with this key. Raises KeyError."""
        return {arm.key: arm for arm in self.arms}[key]


def as_text(report: SearchReport) -> str:
    """For the terminal."""
    lines = []
    for arm in report.arms:
        lines += [
            f"{arm.label}: {arm.candidate.words()}",
            f"{arm.prompt_tokens:.0f} prompt tokens an input" + _cut(arm),
            results_as_text(arm.metrics),
            *(_difference(found) for found in arm.against_none),
            "",
        ]
    lines += [f"note: {note}" for note in report.notes]
    tried = len({trial.candidate for trial in report.trials})
    lines.append(
        f"{tried} candidates, {report.questions:,} questions, {report.spent:,} of {report.budget:,} forward "
        f"tokens ({report.counted}); chosen by {report.task['metrics'][0]} on at most "
        f"{report.task['sizes']['search']} search inputs; figures above are of held-out inputs, percentile "
        "bootstrap over them"
    )
    return "\n".join(lines)


def _cut(arm: Arm) -> str:
    if not arm.cut_inputs:
        return ""
    return (
        f"; the context was too short for all demonstrations of {arm.cut_inputs} inputs "
        f"(mean {arm.demonstrations:.1f} of {arm.candidate.demonstrations})"
    )


def _difference(found: ComparisonResult) -> str:
    interval = (
        f" [{found.ci_low:+.2f}, {found.ci_high:+.2f}]"
        if found.ci_low is not None and found.ci_high is not None
        else ""
    )
    p = f", p = {found.p_permutation:.3f}" if found.p_permutation is not None else ""
    return f"  against no prompt: {found.label} {found.difference:+.2f}{interval}{p}"
