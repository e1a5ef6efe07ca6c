"""The measurement of a suite: plan, load, take turns, write `serving` into the outcomes, then `serving.json`.

All figures of a suite come from one run: as soon as one outcome was written anew, all are measured again.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console

from common.errors import TriviumError
from common.files import atomic_write
from common.machine import this_machine, versions
from training.curriculum.records import Record, read_records
from training.outcome import Serving
from training.quality import dev_set
from training.serving.plan import Plan, ServingError, Target, plan_of
from training.serving.report import NAME, Measured, Rates, ServingReport
from training.serving.settings import ServingConfig

if TYPE_CHECKING:
    from training.serving.speed import Contender

PACKAGES = ("torch", "transformers", "peft")


def measure_serving(
    runs: Path, config: ServingConfig, console: Console, command: str = "", *, fresh: bool = False
) -> ServingReport:
    """Measure where something has changed since the last time (`fresh`: in any case); returns the report.

    Raises OutcomeError for unreadable outcomes, EvaluationError without dev inputs, ServingError where
    nothing can be served, FileError.
    """
    records = read_records(runs)
    plan = plan_of(records)
    before = ServingReport.read(runs / NAME)
    if before and not fresh and _still_holds(before, plan, config):
        console.print(f"serving: measured before, nothing has changed ({runs / NAME})", highlight=False)
        return before
    contenders = _load(plan, _texts(records, config), config)
    if not contenders:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in plan.refused.items())
        raise ServingError(f"--runs {runs}: nothing can be served: {reasons}")
    _time(contenders, config, console)
    report = _report(runs, plan, contenders, config, command)
    _write(records, report, runs)
    _show(report, console)
    return report


def _still_holds(before: ServingReport, plan: Plan, config: ServingConfig) -> bool:
    """Whether the same groups were measured the same way; an outcome written anew has lost its figure."""
    primary = [target for group in plan.groups.values() for target in group if not target.is_merged]
    now = {digest: [target.name for target in group] for digest, group in plan.groups.items()}
    return (
        before.settings == config.model_dump()
        and before.software == versions(PACKAGES)
        and before.machine == this_machine()
        and {group.digest: group.members for group in before.groups} == now
        and before.not_measured == plan.refused
        and all(target.record.outcome.serving for target in primary)
    )


def _texts(records: Sequence[Record], config: ServingConfig) -> list[str]:
    """Some dev inputs, the same for every technique."""
    inputs = dev_set(Path(records[0].outcome.data)).inputs or []
    return random.Random(f"{config.seed}/inputs").sample(inputs, min(config.batch, len(inputs)))


def _load(plan: Plan, texts: Sequence[str], config: ServingConfig) -> dict[str, Contender]:
    """Of every group the first that can be loaded; those that cannot are moved to the refused."""
    from training.serving.speed import load

    contenders = {}
    for digest, group in list(plan.groups.items()):
        while group:
            try:
                contenders[digest] = load(group[0], texts, config)
                break
            except TriviumError as exc:
                plan.refused[group.pop(0).name] = str(exc)
        else:
            del plan.groups[digest]
    return contenders


def _time(contenders: dict[str, Contender], config: ServingConfig, console: Console) -> None:
    from rich.progress import Progress

    from training.serving.speed import take_turns

    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(f"{len(contenders)} kinds of model in turns", total=config.rounds)
        for number in take_turns(list(contenders.values()), config):
            progress.update(bar, completed=number)


def _report(
    runs: Path, plan: Plan, contenders: dict[str, Contender], config: ServingConfig, command: str
) -> ServingReport:
    import torch

    baseline = contenders[_baseline(plan)]
    groups = [
        Measured(
            digest=digest, measured_on=made.target.name, kind=_kind(made),
            members=[target.name for target in plan.groups[digest]], prompt_tokens=made.prompt_tokens,
            virtual_tokens=made.virtual_tokens, tokens_per_second=_rates(made.rates),
            relative=_rates([own / other for own, other in zip(made.rates, baseline.rates, strict=True)]),
        )
        for digest, made in contenders.items()
    ]  # fmt: skip
    return ServingReport(
        runs=str(runs), settings=config.model_dump(), software=versions(PACKAGES), machine=this_machine(),
        threads=torch.get_num_threads(), batch=len(baseline.inputs["input_ids"]),
        baseline=baseline.target.name, not_measured=plan.refused,
        groups=sorted(groups, key=lambda group: -group.tokens_per_second.median),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), command=command,
    )  # fmt: skip


def _baseline(plan: Plan) -> str:
    """The group of full fine-tuning, else of the base model, else the first."""

    def key(digest: str) -> int:
        names = {t.record.outcome.technique for t in plan.groups[digest] if _is_plain(t)}
        return 0 if "full" in names else 1 if "base" in names else 2

    return min(plan.groups, key=key)


def _is_plain(target: Target) -> bool:
    return target.adapter is None and target.prompt is None


def _kind(contender: Contender) -> str:
    """For people."""
    target = contender.target
    if target.adapter:
        return "adapter, not merged"
    if target.prompt:
        return f"written prompt, {contender.prompt_tokens:.0f} tokens"
    return "whole model"


def _rates(values: Sequence[float]) -> Rates:
    return Rates(median=median(values), low=min(values), high=max(values), rounds=list(values))


def _write(records: Sequence[Record], report: ServingReport, runs: Path) -> None:
    # Without it nothing counts as measured: a run that is stopped here is not taken for a whole one.
    (runs / NAME).unlink(missing_ok=True)
    groups = {name: group for group in report.groups for name in group.members}
    for record in records:
        name = f"{record.outcome.technique} {record.outcome.seed}"
        made = _serving(groups[name], groups.get(f"{name} merged"), report) if name in groups else None
        if made != record.outcome.serving:
            record.outcome.model_copy(update={"serving": made}).write(record.folder)
    atomic_write(runs / NAME, report.model_dump_json(indent=2) + "\n")


def _serving(group: Measured, merged: Measured | None, report: ServingReport) -> Serving:
    rates = group.tokens_per_second
    base = next(g.tokens_per_second.median for g in report.groups if g.measured_on == report.baseline)
    software = ", ".join(f"{name} {version}" for name, version in report.software.items() if name != "python")
    settings = report.settings
    how = (
        f"{group.kind}: transformers generate ({software}), {settings['precision']}, "
        f"{report.threads} threads, {report.batch} inputs at once, {settings['new_tokens']} new tokens each, "
        f"greedy, KV cache; {len(rates.rounds)} rounds in turns with all others: the median rate of "
        f"{report.baseline} times the median of the rounds' ratios to it; measured on {group.measured_on}"
    )
    return Serving(
        tokens_per_second=base * group.relative.median, how=how, low=rates.low, high=rates.high,
        rounds=len(rates.rounds),
        relative=group.relative.median,
        merged_tokens_per_second=base * merged.relative.median if merged else None,
    )  # fmt: skip


def _show(report: ServingReport, console: Console) -> None:
    from rich.table import Table

    table = Table(
        "measured on", "kind", "tokens/s", "slowest to fastest round", f"× {report.baseline}", "stands for"
    )
    for group in report.groups:
        rates = group.tokens_per_second
        others = [name for name in group.members if name != group.measured_on]
        table.add_row(
            group.measured_on, group.kind, f"{rates.median:,.0f}", f"{rates.low:,.0f} to {rates.high:,.0f}",
            f"{group.relative.median:.2f}", ", ".join(others),
        )  # fmt: skip
    console.print(table)
    for name, reason in report.not_measured.items():
        console.print(f"not measured: {name}: {reason}", highlight=False, markup=False)
