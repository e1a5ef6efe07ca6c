"""Scoring one set of outputs against references: every metric with n and a confidence interval.

Imports no torch: scoring runs where no model does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

from evaluation.bootstrap import Measure, compare
from evaluation.corpora import repair_encoding
from evaluation.errors import EvaluationError, JavaError
from evaluation.java import MeteorProcess
from evaluation.metrics.overlap import Groups
from evaluation.report import ComparisonResult, ScoreReport, SlotErrors, result_of

METRICS = (
    "bleu", "nist", "meteor", "rougeL", "cider", "chrf", "rouge1", "rouge2",
    "ser", "distinct1", "distinct2", "length",
)  # fmt: skip
"""Every metric, in the order of the table."""
_NEED_JAVA = ("meteor", "rougeL", "cider")


@dataclass
class _Measured:
    """The measures of one system and what came with them."""

    measures: dict[str, Measure] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    slot_errors: SlotErrors | None = None


def score(
    hypotheses: Sequence[str],
    references: Groups,
    inputs: Sequence[str] | None = None,
    *,
    metrics: Sequence[str] | None = None,
    resamples: int = 1000,
    seed: int = 1,
    confidence: float = 0.95,
    against: Sequence[str] | None = None,
) -> ScoreReport:
    """Score n outputs against n groups of references.

    inputs: the n attribute lists; without them (or where they are none) there is no slot error rate.
    metrics: keys out of METRICS; all by default. against: another system's outputs, compared in pairs.
    Metrics whose Java cannot run are named in `unavailable`. Raises EvaluationError for counts that differ,
    unknown metrics and empty groups.
    """
    chosen = _chosen(metrics)
    _check_counts(hypotheses, references, inputs, against)
    hypotheses, repaired = repair_encoding(hypotheses)
    notes = (
        [f"{repaired} outputs had damaged characters (such as Â£ for £), now repaired"] if repaired else []
    )
    with ExitStack() as stack:
        meteor = _LazyMeteor(stack)
        mine = _measure(hypotheses, references, inputs, chosen, meteor)
        ordered = [mine.measures[key] for key in chosen if key in mine.measures]
        results = [result_of(measure, resamples, seed, confidence) for measure in ordered]
        comparison = None
        if against is not None:
            other = _measure(repair_encoding(against)[0], references, inputs, chosen, meteor)
            comparison = _comparison(mine, other, resamples, seed, confidence)
    return ScoreReport(
        metrics=results, n_inputs=len(hypotheses), n_references=sum(map(len, references)),
        resamples=resamples, seed=seed, confidence=confidence, signatures=mine.signatures,
        slot_errors=mine.slot_errors, unavailable=mine.unavailable, notes=notes, comparison=comparison,
    )  # fmt: skip


class _LazyMeteor:
    """Starts METEOR's Java when the first metric asks for it; the stack ends it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._process: MeteorProcess | None = None

    def __call__(self) -> MeteorProcess:
        if self._process is None:
            self._process = self._stack.enter_context(MeteorProcess())
        return self._process


def _measure(
    hypotheses: Sequence[str],
    references: Groups,
    inputs: Sequence[str] | None,
    chosen: Sequence[str],
    meteor: Callable[[], MeteorProcess],
) -> _Measured:
    from evaluation.metrics import diversity, nist, overlap

    found = _Measured()
    if "bleu" in chosen:
        found.measures["bleu"], found.signatures["BLEU"] = overlap.bleu(hypotheses, references)
    if "chrf" in chosen:
        found.measures["chrf"], found.signatures["chrF"] = overlap.chrf(hypotheses, references)
    if {"rouge1", "rouge2"} & set(chosen):
        found.measures |= {m.key: m for m in overlap.rouge_n(hypotheses, references)}
    if "nist" in chosen:
        found.measures["nist"] = nist.nist(hypotheses, references)
    for order in (1, 2):
        if f"distinct{order}" in chosen:
            found.measures[f"distinct{order}"] = diversity.distinct(hypotheses, order)
    if "length" in chosen:
        found.measures["length"] = diversity.length(hypotheses)
    _measure_with_java(found, hypotheses, references, chosen, meteor)
    if "ser" in chosen:
        _measure_slots(found, hypotheses, inputs)
    return found


def _measure_with_java(
    found: _Measured,
    hypotheses: Sequence[str],
    references: Groups,
    chosen: Sequence[str],
    meteor: Callable[[], MeteorProcess],
) -> None:
    wanted = [key for key in _NEED_JAVA if key in chosen]
    if not wanted:
        return
    from evaluation.metrics import coco

    try:
        outputs, groups = coco.tokenize(hypotheses, references)
    except JavaError as exc:
        found.unavailable |= dict.fromkeys(wanted, str(exc))
        return
    if "rougeL" in wanted:
        found.measures["rougeL"] = coco.rouge_l(outputs, groups)
    if "cider" in wanted:
        found.measures["cider"] = coco.cider(outputs, groups)
    if "meteor" in wanted:
        try:
            found.measures["meteor"] = coco.meteor(meteor(), outputs, groups)
        except JavaError as exc:
            found.unavailable["meteor"] = str(exc)


def _measure_slots(found: _Measured, hypotheses: Sequence[str], inputs: Sequence[str] | None) -> None:
    from evaluation.slots import rate

    if inputs is None:
        found.unavailable["ser"] = "the references name no inputs, so there are no slots to check"
        return
    counted = rate.slot_errors(inputs, hypotheses)
    if counted is None:
        found.unavailable["ser"] = "the inputs are no attribute lists such as name[The Mill], food[French]"
        return
    found.measures["ser"], found.slot_errors = counted


def _comparison(
    mine: _Measured, other: _Measured, resamples: int, seed: int, confidence: float
) -> list[ComparisonResult]:
    results = []
    for key, a in mine.measures.items():
        b = other.measures[key]
        found = compare(a, b, resamples, seed, confidence)
        tested = asdict(found) if found else {"difference": a.value - b.value}
        results.append(ComparisonResult(metric=key, label=a.label, value=a.value, other=b.value, **tested))
    return sorted(results, key=lambda result: METRICS.index(result.metric))


def _chosen(metrics: Sequence[str] | None) -> list[str]:
    by_lower = {key.lower(): key for key in METRICS}
    asked = [name.lower().replace("-", "") for name in metrics] if metrics is not None else list(by_lower)
    if not asked:
        raise EvaluationError(f"no metric chosen; there are {', '.join(METRICS)}")
    for name in asked:
        if name not in by_lower:
            raise EvaluationError(f"unknown metric {name!r}; there are {', '.join(METRICS)}")
    return [key for key in METRICS if key.lower() in asked]


def _check_counts(
    hypotheses: Sequence[str], references: Groups, inputs: Sequence[str] | None, against: Sequence[str] | None
) -> None:
    for name, given in {
        "hypotheses": hypotheses,
        "inputs": inputs,
        "hypotheses to compare with": against,
    }.items():
        if given is not None and len(given) != len(references):
            raise EvaluationError(f"{len(given)} {name} for {len(references)} groups of references")
    if not references:
        raise EvaluationError("nothing to score: there are no references")
    empty = next((i for i, group in enumerate(references, start=1) if not group), None)
    if empty is not None:
        raise EvaluationError(f"input {empty} has no references")
