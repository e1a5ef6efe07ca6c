"""One run from scenario to files: plan, drive, summarise, write."""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from common.files import atomic_write
from tests.load import console
from tests.load.errors import LoadError
from tests.load.plan import Plan, make_plan
from tests.load.runner import RunOutcome, run_local, run_master
from tests.load.scenario import Scenario, base_url
from tests.load.slo import resolve
from tests.load.summary import summarise


@dataclass(frozen=True, slots=True)
class Target:
    """Where the load goes and how it is sent."""

    url: str
    model: str
    headers: dict[str, str] = field(default_factory=dict)
    allow_remote: bool = False
    road: str | None = None
    """Whose objectives of the SLO file count."""
    inputs: Path | None = None
    """In place of the scenario's own."""
    workers: int = 0
    remote_workers: int = 0
    bind: str = "127.0.0.1:0"


def run_scenario(scenario: Scenario, folder: Path, target: Target, output: Path) -> dict[str, Any]:
    """Run it, write `output/result.json` and `output/requests.jsonl`, return the result.

    Raises LoadError where the scenario or the server cannot be used; an invalid run is returned, with the
    reasons in `verdict`.
    """
    url = base_url(target.url, allow_remote=target.allow_remote)
    objective = resolve(scenario.slo, folder, target.road)
    plan = make_plan(
        scenario, folder, url=url, model=target.model, headers=target.headers, inputs=target.inputs
    )
    _require_listener(url)
    _require_folder(output)
    outcome = _drive(plan, target)
    console.end_progress()
    outcome.records.sort(key=lambda record: record.index)
    result = summarise(outcome.records, outcome.clients, scenario, objective, interrupted=outcome.interrupted)
    result |= {
        "distinct_inputs": plan.distinct_inputs,
        "started_at": datetime.fromtimestamp(outcome.started_at, UTC).isoformat(),
        "target": {"url": url, "model": target.model, "road": target.road, "path": plan.path},
        "scenario": scenario.model_dump(mode="json"),
        "machine": machine(),
    }
    atomic_write(output / "result.json", json.dumps(result, indent=2) + "\n")
    rows = (json.dumps(record.to_dict()) + "\n" for record in outcome.records)
    atomic_write(output / "requests.jsonl", "".join(rows))
    return result


def _drive(plan: Plan, target: Target) -> RunOutcome:
    progress: Callable[..., None] = console.progress_printer(plan)
    if target.workers or target.remote_workers:
        return run_master(
            plan, progress, workers=target.workers, remote=target.remote_workers, bind=target.bind
        )
    return run_local(plan, progress)


def _require_listener(url: str) -> None:
    """Fail at once, with a clear line, where nothing listens."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=5).close()
    except OSError as exc:
        raise LoadError(f"{url}: {exc.strerror or exc}; is the server up?") from exc


def _require_folder(output: Path) -> None:
    """Find out before the run, not after it, that its files have no place."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise LoadError(f"--output {output}: {exc.strerror or exc}") from exc


def machine() -> dict[str, Any]:
    """Where the client ran; the server shared it when the URL is a loopback address."""
    return {
        "cores": psutil.cpu_count(),
        "ram_bytes": psutil.virtual_memory().total,
        "os": platform.platform(),
        "python": platform.python_version(),
        "locust": version("locust"),
        "gevent": version("gevent"),
    }
