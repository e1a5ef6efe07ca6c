"""What a scoring run found: a pydantic record for programs and a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from common.config import StrictModel
from evaluation.bootstrap import Measure, interval


class MetricResult(StrictModel):
    """One figure with its interval. `n` counts inputs; `ci_low`/`ci_high` are None where there is none."""

    metric: str
    label: str
    value: float
    n: int
    ci_low: float | None
    ci_high: float | None
    unit: str
    description: str
    higher_is_better: bool | None


def result_of(measure: Measure, resamples: int, seed: int, confidence: float = 0.95) -> MetricResult:
    """The figure of a measure with its bootstrap interval."""
    low, high = interval(measure, resamples, seed, confidence) or (None, None)
    return MetricResult(
        metric=measure.key, label=measure.label, value=measure.value, n=len(measure.rows),
        ci_low=low, ci_high=high, unit=measure.unit, description=measure.description,
        higher_is_better=measure.higher_is_better,
    )  # fmt: skip


class SlotErrors(StrictModel):
    """Counts behind the slot error rate, over all inputs; `by_slot` has the same three per slot."""

    slots: int
    missing: int
    added: int
    wrong: int
    outputs_with_errors: int
    by_slot: dict[str, dict[str, int]]


class ComparisonResult(StrictModel):
    """This system minus the other on one metric, with interval and two-sided p-values."""

    metric: str
    label: str
    value: float
    other: float
    difference: float
    ci_low: float | None = None
    ci_high: float | None = None
    p_permutation: float | None = None
    p_bootstrap: float | None = None


class ScoreReport(StrictModel):
    """All metrics of one set of outputs."""

    metrics: list[MetricResult]
    n_inputs: int
    n_references: int
    resamples: int
    seed: int
    confidence: float
    signatures: dict[str, str]
    slot_errors: SlotErrors | None
    unavailable: dict[str, str]
    """Metric to the reason why it could not be computed."""
    notes: list[str]
    comparison: list[ComparisonResult] | None = None

    def value(self, metric: str) -> float:
        """The value of a metric by its key, such as "bleu". Raises KeyError."""
        return {m.metric: m.value for m in self.metrics}[metric]


def results_as_text(results: Sequence[MetricResult], confidence: float = 0.95) -> str:
    """An aligned table of results: value, interval, n, unit, how."""
    rows = [["metric", "value", f"{confidence:.0%} interval", "n", "unit", "how"]]
    for m in results:
        digits = _digits(m.metric)
        rows.append([
            m.label, _figure(m.value, f".{digits}f"), _between(m.ci_low, m.ci_high, f".{digits}f"),
            str(m.n), m.unit, m.description,
        ])  # fmt: skip
    return "\n".join(_table(rows))


def as_text(report: ScoreReport) -> str:
    """The report as an aligned table, with definitions, signatures and notes below."""
    lines = [results_as_text(report.metrics, report.confidence), ""]
    lines.append(
        f"{report.n_inputs} inputs, {report.n_references} references; percentile bootstrap over inputs, "
        f"{report.resamples} resamples, seed {report.seed} (distinct-n: jackknife)"
    )
    lines += [f"{name}: {signature}" for name, signature in report.signatures.items()]
    if report.slot_errors is not None:
        e = report.slot_errors
        lines.append(
            f"slot errors: {e.missing} missing + {e.added} added + {e.wrong} wrong of {e.slots} slots, "
            f"in {e.outputs_with_errors} of {report.n_inputs} outputs"
        )
    lines += [f"not computed: {metric}: {reason}" for metric, reason in report.unavailable.items()]
    lines += [f"note: {note}" for note in report.notes]
    if report.comparison is not None:
        lines += ["", *_comparison_lines(report)]
    return "\n".join(lines)


def _comparison_lines(report: ScoreReport) -> list[str]:
    header = ["metric", "this", "other", "difference", f"{report.confidence:.0%} interval", "p (permutation)"]
    rows = [[*header, "p (bootstrap)"]]
    for c in report.comparison or []:
        form = f".{_digits(c.metric)}f"
        rows.append([
            c.label, f"{c.value:{form}}", f"{c.other:{form}}", f"{c.difference:+{form}}",
            _between(c.ci_low, c.ci_high, f"+{form}"),
            *("" if p is None else f"{p:.4f}" for p in (c.p_permutation, c.p_bootstrap)),
        ])  # fmt: skip
    return ["paired comparison, two-sided:", *_table(rows)]


def _figure(value: float, form: str) -> str:
    # The perplexity of a word under a model that knows none has no business with decimals.
    return f"{value:.4g}" if abs(value) >= 1e6 else f"{value:{form}}"


def _between(low: float | None, high: float | None, form: str) -> str:
    return "" if low is None or high is None else f"{_figure(low, form)} – {_figure(high, form)}"


def _digits(metric: str) -> int:
    return 4 if metric in {"cider", "nist"} else 2


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
