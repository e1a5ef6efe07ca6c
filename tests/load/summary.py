"""From records to `result.json`: figures with their formulas, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tests.load.records import RequestRecord
from tests.load.scenario import Limits, Scenario
from tests.load.slo import GOODPUT_FORMULA, Objective, mark_good, misses
from tests.load.statistics import describe, wilson_interval

SCHEMA = "trivium.load/v1"

METRICS: dict[str, tuple[str, Callable[[RequestRecord], float | None]]] = {
    "ttft": ("first non-empty token − actual send", lambda r: r.ttft),
    "ttft_intended": ("first non-empty token − scheduled start", lambda r: r.ttft_intended),
    "tpot": ("(last token − first token) / (output tokens − 1), per request", lambda r: r.tpot),
    "e2e": ("last byte − actual send", lambda r: r.e2e),
    "e2e_intended": ("last byte − scheduled start", lambda r: r.e2e_intended),
}
ITL_FORMULA = "every gap between streamed chunks that carry tokens, pooled"
LATENESS_FORMULA = "actual send − scheduled start, of every request that was sent"
LAG_FORMULA = "overshoot of a 20 ms sleep in the client's event loop: how late it sees any event"
THROUGHPUT_FORMULA = "of answers completed between the first and the last scheduled start / that time"


def summarise(
    records: Sequence[RequestRecord],
    clients: Sequence[dict[str, Any]],
    scenario: Scenario,
    objective: Objective,
    *,
    interrupted: bool = False,
) -> dict[str, Any]:
    """The figures of the measured part of a run (the warm-up is left out). Times in seconds."""
    mark_good(records, objective)
    measured = [record for record in records if not record.warmup]
    figures = _figures(measured, records)
    client = _client(measured, clients)
    reasons = invalid_reasons(figures, client, scenario.limits, interrupted=interrupted)
    missed = misses(objective, figures["goodput"]["share"], figures["metrics"])
    stages = sorted({record.stage for record in measured})
    return {
        "schema": SCHEMA,
        "verdict": {
            "valid": not reasons, "reasons": reasons, "slo_attained": not missed, "slo_missed": missed,
        },
        **figures,
        "slo": objective.to_dict(),
        "client": client,
        "warmup_requests": len(records) - len(measured),
        "stages": [
            {"stage": stage, **_stage(scenario, stage), **_figures(_of_stage(measured, stage), records)}
            for stage in stages
        ] if len(stages) > 1 else [],
    }  # fmt: skip


def invalid_reasons(
    figures: dict[str, Any], client: dict[str, Any], limits: Limits, *, interrupted: bool
) -> list[str]:
    """Why the run is not valid: the client was the bottleneck, or too much failed. Empty: it is valid."""
    reasons = ["the run was interrupted"] if interrupted else []
    for name, label, limit in (
        ("lateness", "requests were sent late", limits.lateness_p99_ms),
        ("loop_lag", "the client's event loop ran late", limits.loop_lag_p99_ms),
    ):
        late = client[name].get("p99", 0.0) * 1000
        if late > limit:
            reasons.append(f"client: {label}: p99 {late:.1f} ms is above {limit:g} ms")
    for name, label, limit in (
        ("core_share", "of one core", limits.client_core_share),
        ("machine_share", "of the machine", limits.client_machine_share),
    ):
        if client[name] > limit:
            reasons.append(f"client: used {client[name]:.0%} {label}, above {limit:.0%}")
    share = figures["errors"]["share"]
    if share > limits.error_share:
        kinds = ", ".join(f"{kind} {count}" for kind, count in figures["errors"]["kinds"].items())
        reasons.append(f"errors: {share:.1%} of requests, above {limits.error_share:.1%} ({kinds})")
    return reasons


def _figures(records: Sequence[RequestRecord], everyone: Sequence[RequestRecord]) -> dict[str, Any]:
    """Of `records`; `everyone` may complete in their time too (warm-up, the stage before)."""
    offered = len(records)
    complete = [record for record in records if record.ok]
    good = sum(bool(record.good) for record in records)
    interval = wilson_interval(good, offered)
    kinds = Counter(record.error for record in records if record.error)
    metrics = {
        name: {"unit": "s", "formula": formula, **describe(_present(measure(r) for r in complete))}
        for name, (formula, measure) in METRICS.items()
    }
    gaps = [gap for record in complete for gap in record.itl]
    metrics["itl"] = {"unit": "s", "formula": ITL_FORMULA, **describe(gaps)}
    return {
        "offered": offered,
        "complete": len(complete),
        "offered_rate": _offered_rate(records),
        "goodput": {
            "share": good / offered if offered else 0.0, "n": offered, "ci95": [interval.low, interval.high],
            "rate": good / _window(records)[1], "formula": GOODPUT_FORMULA,
        },
        "errors": {
            "share": 1 - len(complete) / offered if offered else 0.0,
            "kinds": dict(kinds.most_common()),
            "examples": {kind: _example(records, kind) for kind in kinds},
        },
        "throughput": _throughput(everyone, *_window(records)),
        "metrics": metrics,
    }  # fmt: skip


def _throughput(records: Sequence[RequestRecord], start: float, seconds: float) -> dict[str, Any]:
    """What the server delivered while requests were due; the drain after the last one would flatter or
    (with time-outs) belittle it."""
    complete = [r for r in records if r.ok and start <= (r.finished_at or 0.0) <= start + seconds]
    tokens = sum(record.output_tokens for record in complete)
    return {
        "requests_per_second": len(complete) / seconds,
        "output_tokens_per_second": tokens / seconds,
        "output_tokens": tokens,
        "mean_output_tokens": tokens / len(complete) if complete else 0.0,
        "seconds": seconds,
        "token_source": dict(Counter(record.token_source for record in complete)),
        "formula": THROUGHPUT_FORMULA,
    }


def _client(records: Sequence[RequestRecord], clients: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """CPU over the whole run, warm-up included; processes on one host share its cores."""
    shares = [client["cpu_seconds"] / client["wall_seconds"] for client in clients if client]
    hosts: Counter[str] = Counter()
    for client in filter(None, clients):
        hosts[client.get("host", "local")] += client["cpu_seconds"] / client["wall_seconds"] / client["cores"]
    lags = [lag for client in filter(None, clients) for lag in client["lags"]]
    return {
        "processes": len(clients),
        "core_share": max(shares, default=0.0),
        "machine_share": max(hosts.values(), default=0.0),
        "priority": ", ".join(sorted({client["priority"] for client in filter(None, clients)})),
        "lateness": {
            "unit": "s",
            "formula": LATENESS_FORMULA,
            **describe(_present(r.lateness for r in records)),
        },
        "loop_lag": {"unit": "s", "formula": LAG_FORMULA, **describe(lags)},
    }


def _of_stage(records: Sequence[RequestRecord], stage: int) -> list[RequestRecord]:
    return [record for record in records if record.stage == stage]


def _stage(scenario: Scenario, number: int) -> dict[str, Any]:
    return scenario.arrivals.stages[number].model_dump() if hasattr(scenario.arrivals, "stages") else {}


def _window(records: Sequence[RequestRecord]) -> tuple[float, float]:
    """First scheduled start, and seconds from it to the last one (to the last finish of a single moment)."""
    if not records:
        return 0.0, 1.0
    starts = [record.intended_start for record in records]
    end = max(starts)
    if end == min(starts):
        end = max(record.finished_at or record.intended_start for record in records)
    return min(starts), max(end - min(starts), 1e-9)


def _offered_rate(records: Sequence[RequestRecord]) -> float:
    """Requests per second over the scheduled starts."""
    starts = [record.intended_start for record in records]
    span = max(starts) - min(starts) if starts else 0.0
    return (len(starts) - 1) / span if span > 0 else float(len(starts))


def _example(records: Sequence[RequestRecord], kind: str) -> str | None:
    return next((record.detail for record in records if record.error == kind), None)


def _present(values: Any) -> list[float]:
    return [value for value in values if value is not None]
