"""Distributed jobs on a real Ray cluster: to their end, on the same curve, though workers are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.tiny_training import TINY, pairs, write_data, write_references, write_tokenizer
from training.distributed.cluster import cluster
from training.distributed.config import DistributedConfig, Strategy
from training.distributed.train import train
from training.examples import ChatTokenizer
from training.layout import load_model
from training.measure import measure, technique_of

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
STEPS, EVERY = 60, 10
TOLERANCE = 1e-3
"""Nats. Sums in another order differ in the last bits, and sixty steps of AdamW let the difference grow."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    write_tokenizer(write_references(write_data(folder / "data", pairs())), folder / "tokenizer")
    return folder / "data"


@pytest.fixture(scope="module")
def ray_of_two(data: Path) -> Iterator[None]:
    with cluster(2):
        yield


def settings(data: Path, output: Path, **changes: Any) -> DistributedConfig:
    values = {
        "model": TINY.model_dump(), "data": str(data), "output": str(output), "precision": "fp32",
        "tokenizer": str(data.parent / "tokenizer"), "max_steps": STEPS, "workers": 2,
        "batch": {"row_tokens": 64, "rows": 5, "accumulate": 2}, "optimizer": {"lr": 0.01},
        "checkpoint": {"every": EVERY, "keep": 2}, "evaluation": {"every": 20, "max_batches": 2},
        **changes,
    }  # fmt: skip
    return DistributedConfig.from_dict(values, "test")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def curve(output: Path) -> list[float]:
    lines = records(output / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return [line["loss"] for line in lines] + [line["dev_loss"] for line in lines if "dev_loss" in line]


class Killer(threading.Thread):
    """Ends the process that `workers.jsonl` names last with SIGKILL, once so many steps are done."""

    def __init__(self, output: Path, after: int) -> None:
        super().__init__(daemon=True)
        self.output, self.after = output, after
        self.pid: int | None = None

    def run(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            metrics = self.output / "metrics.jsonl"
            if metrics.exists() and metrics.read_text().count("\n") >= self.after:
                workers = [
                    w for line in records(self.output / "workers.jsonl") for w in line.get("workers", [])
                ]
                self.pid = int(workers[-1]["pid"])
                os.kill(self.pid, signal.SIGKILL)
                return
            time.sleep(0.005)


@pytest.fixture(scope="module")
def undisturbed(
    data: Path, ray_of_two: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """Two replicas, beside which the others are judged. Five rows do not divide among two workers."""
    output = tmp_path_factory.mktemp("undisturbed")
    return output, train("ddp", settings(data, output))


def test_a_job_leaves_what_every_job_leaves(data: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    output, result = undisturbed
    assert result["dev_loss"] < 0.5 * records(output / "metrics.jsonl")[0]["loss"]
    assert result["attempts"] == [0]
    assert [p.name for p in sorted((output / "checkpoints").glob("step-*"))][-1] == f"step-{STEPS:08d}"
    tokenizer = ChatTokenizer(output / "model")
    assert load_model(output / "model").embedding.weight.shape[0] == tokenizer.vocabulary
    outcome = measure(output, technique_of("ddp", None, "fine-tuning"), inputs=2)
    assert outcome.tokens == result["tokens"]
    assert train("ddp", settings(data, output)) == result, "a finished run is not run again"


@pytest.mark.parametrize("strategy", ["fsdp", "pipeline"])
def test_the_curve_is_that_of_replicas(
    data: Path, undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path, strategy: Strategy
) -> None:
    result = train(strategy, settings(data, tmp_path, pipeline={"micro_batches": 5}))
    assert curve(tmp_path) == pytest.approx(curve(undisturbed[0]), abs=TOLERANCE)
    for key in ("steps", "rows", "tokens", "target_tokens", "padding_share"):
        assert result[key] == undisturbed[1][key], key


def test_a_killed_worker_costs_the_steps_since_the_last_checkpoint_and_nothing_else(
    data: Path, undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    killer = Killer(tmp_path, after=EVERY + 5)
    killer.start()
    result = train("ddp", settings(data, tmp_path))
    assert killer.pid, "the run ended before a worker was killed"
    first, again = result["attempts"]
    assert first == 0
    assert again % EVERY == 0
    assert EVERY <= again < STEPS
    assert curve(tmp_path) == pytest.approx(curve(undisturbed[0]), abs=TOLERANCE)


def test_asynchronous_workers_use_every_batch_once_though_one_is_killed(
    data: Path, undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killer = Killer(tmp_path, after=EVERY)
    killer.start()
    result = train("async", settings(data, tmp_path))
    lines = records(tmp_path / "metrics.jsonl")
    assert killer.pid, "the run ended before a worker was killed"
    assert sorted(line["batch"] for line in lines) == list(range(STEPS))
    assert "was lost; another takes its place" in capfd.readouterr().err
    assert sum(result["staleness"]["histogram"].values()) == STEPS
    assert result["tokens"] == undisturbed[1]["tokens"]
    assert result["dev_loss"] < 0.5 * lines[0]["loss"]


def test_ray_that_does_not_start_is_one_line(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "job.json"
    config.write_text(settings(data, tmp_path / "run").model_dump_json(by_alias=True))
    long = tmp_path / ("x" * 100)  # sockets below it have paths that Linux refuses
    long.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "training", "dist", "ddp", "--config", str(config)], cwd=ROOT, text=True,
        capture_output=True, check=False, env={**os.environ, "TMPDIR": str(long), "RAY_ADDRESS": ""},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "error: Ray does not start" in done.stderr
    assert "TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr
