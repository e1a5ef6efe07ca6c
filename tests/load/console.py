"""What a person sees: a line of progress, then a table with the formulas beside the names."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from tests.load.plan import Plan
from tests.load.records import RequestRecord

ROWS = (
    ("TTFT", "ttft"),
    ("TTFT from intended", "ttft_intended"),
    ("TPOT", "tpot"),
    ("ITL", "itl"),
    ("E2E", "e2e"),
    ("E2E from intended", "e2e_intended"),
)


def progress_printer(plan: Plan) -> Callable[[list[RequestRecord], int], None]:
    """A callback that writes one line to stderr: rewritten in a terminal, every five seconds elsewhere."""
    total, last = len(plan.requests), plan.requests[-1].arrival.at
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    printed = 0.0

    def show(records: list[RequestRecord], in_flight: int) -> None:
        nonlocal printed
        elapsed = time.monotonic() - started
        if not terminal and elapsed - printed < 5:
            return
        printed = elapsed
        finished = [record for record in records if record.finished_at is not None]
        failed = sum(not record.ok for record in finished)
        dropped = sum(record.error == "dropped" for record in records)
        recent = sorted(filter(None, (record.ttft for record in finished[-50:])))
        ttft = f"TTFT p50 {recent[len(recent) // 2] * 1000:.0f} ms" if recent else ""
        line = (
            f"{elapsed:5.0f} s of {last:.0f}  sent {len(records)}/{total}  in flight {in_flight}"
            f"  done {len(finished)}  failed {failed}  dropped {dropped}  {ttft}"
        )
        print(
            f"\r{line:<100}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True
        )

    return show


def end_progress() -> None:
    """Leave the progress line."""
    if sys.stderr.isatty():
        print(file=sys.stderr)


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    good, throughput, client = result["goodput"], result["throughput"], result["client"]
    lines = [
        f"offered {result['offered']} requests at {result['offered_rate']:.2f}/s,"
        f" complete {result['complete']}, warm-up {result['warmup_requests']} left out,"
        f" {result['distinct_inputs']} distinct inputs",
        "",
        f"{'ms':<20}{'n':>7}{'mean':>9}{'p50':>9}{'p95':>9}{'p99':>9}   formula",
    ]
    lines += [_row(label, result["metrics"][key]) for label, key in ROWS]
    lines += [_row("lateness", client["lateness"]), _row("loop lag", client["loop_lag"]), ""]
    low, high = good["ci95"]
    lines += [
        f"goodput     {good['share']:.1%} [{low:.1%}, {high:.1%}], n={good['n']}, {good['rate']:.2f}/s"
        f"   {good['formula']}",
        f"throughput  {throughput['output_tokens_per_second']:.1f} output tokens/s,"
        f" {throughput['requests_per_second']:.2f} requests/s   {throughput['formula']};"
        f" tokens from {_counts(throughput['token_source'])}",
        f"errors      {result['errors']['share']:.1%}   {_counts(result['errors']['kinds'])}",
        f"client      {client['core_share']:.1%} of one core, {client['machine_share']:.1%} of the machine,"
        f" {client['processes']} process(es), priority: {client['priority']}",
    ]
    return "\n".join([*lines, "", *_verdict(result)])


def _verdict(result: dict[str, Any]) -> list[str]:
    verdict, slo = result["verdict"], result["slo"]
    thresholds = ", ".join(
        f"{name.upper()} ≤ {slo[name] * 1000:g} ms"
        for name in ("ttft", "tpot", "e2e")
        if slo[name] is not None
    )
    lines = [f"SLO         {thresholds}; goodput ≥ {slo['goodput']:.0%} ({slo['source']})"]
    missed = "; ".join(verdict["slo_missed"])
    lines.append(f"            {'missed: ' + missed if missed else 'attained'}")
    lines.append(f"verdict     {'valid' if verdict['valid'] else 'NOT VALID'}")
    return lines + [f"            {reason}" for reason in verdict["reasons"]]


def _row(label: str, metric: dict[str, Any]) -> str:
    if not metric["n"]:
        return f"{label:<20}{0:>7}{'–':>9}{'–':>9}{'–':>9}{'–':>9}   {metric['formula']}"
    figures = "".join(f"{metric[name] * 1000:>9.1f}" for name in ("mean", "p50", "p95", "p99"))
    return f"{label:<20}{metric['n']:>7}{figures}   {metric['formula']}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"
