"""Real Locust against the fake server, whose delays are known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.processes import ServerProcess, free_port

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
DELAY, GAP, TOKENS = 0.060, 0.010, 20


@dataclass
class Fake:
    url: str
    pid: int


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fake]:
    """Answers after 60 ms, then a token every 10 ms, twenty in all."""
    with start_fake(tmp_path_factory.mktemp("fake")) as fake:
        yield fake


@contextmanager
def start_fake(folder: Path, *options: str) -> Iterator[Fake]:
    port = free_port()
    command = [sys.executable, "-m", "tests.fakes.backend", "--port", str(port)]
    command += ["--delay-ms", str(DELAY * 1000), "--chunk-delay-ms", str(GAP * 1000), "--tokens", str(TOKENS)]
    url = f"http://127.0.0.1:{port}"
    with ServerProcess(
        [*command, *options], log=folder / "fake.log", ready_url=f"{url}/ready", cwd=ROOT
    ) as server:
        server.wait_ready(30)
        yield Fake(url, server.pid)


def load_command(url: str, folder: Path, *options: str, command: str = "run") -> list[str]:
    settings = {
        "name": "test",
        "inputs": str(ROOT / "tests/load/scenarios/prompts.txt"),
        "arrivals": {"process": "constant", "stages": [{"rate": 15, "seconds": 2}]},
        "warmup_seconds": 0.5,
        "slo": {"ttft_ms": 500, "tpot_ms": 100, "e2e_ms": 2000},
        # Other tests may run on the same cores: how late the client may be is tested where it is the subject.
        "limits": {"lateness_p99_ms": 1000, "loop_lag_p99_ms": 1000},
    }
    scenario = folder / "scenario.yaml"
    scenario.write_text(json.dumps(settings))
    words = [sys.executable, "-m", "tests.load", command, "--scenario", str(scenario), "--url", url]
    return [*words, "--model", "fake", "--output", str(folder / "out"), *options]


def load(url: str, folder: Path, *options: str, command: str = "run") -> subprocess.CompletedProcess[str]:
    words = load_command(url, folder, *options, command=command)
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)


def result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "out" / "result.json").read_text()))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "requests.jsonl").read_text().splitlines()]


def test_measures_what_the_server_does(fake: Fake, tmp_path: Path) -> None:
    done = load(fake.url, tmp_path)
    assert done.returncode == 0, done.stderr
    measured = result(tmp_path)
    assert measured["verdict"] == {"valid": True, "reasons": [], "slo_attained": True, "slo_missed": []}
    assert measured["complete"] == measured["offered"] == 30
    metrics = measured["metrics"]
    # A shared machine adds, it never takes away: the median is at the delay or above.
    assert DELAY <= metrics["ttft"]["p50"] < DELAY * 1.5
    assert GAP <= metrics["tpot"]["p50"] < GAP * 1.5
    assert metrics["itl"]["n"] == 30 * (TOKENS - 1)
    whole = DELAY + GAP * (TOKENS - 1)
    assert whole <= metrics["e2e"]["p50"] < whole * 1.5
    assert set(measured["throughput"]["token_source"]) == {"usage"}
    row = rows(tmp_path)[-1]
    gaps = [
        later - earlier for earlier, later in zip(row["chunk_times"], row["chunk_times"][1:], strict=False)
    ]
    assert len(gaps) == TOKENS - 1
    assert sorted(gaps)[len(gaps) // 2] > GAP / 2, "chunks are seen one by one, not as one late block"
    assert "first non-empty token − actual send" in done.stdout


def test_whole_answers_and_text_completions(fake: Fake, tmp_path: Path) -> None:
    done = load(fake.url, tmp_path, "--set", "stream=false", "--set", "slo={e2e_ms: 2000}",
                "--set", "endpoint=completions", "--header", "x-trivium-road=edge")  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = result(tmp_path)["metrics"]
    assert metrics["ttft"]["n"] == 0
    assert metrics["e2e"]["p50"] >= DELAY + GAP * TOKENS


def test_an_answer_that_breaks_off_is_a_failure(fake: Fake, tmp_path: Path) -> None:
    done = load(fake.url, tmp_path, "--set", "extra_body={metadata: {fail: die-mid-stream}}")
    assert done.returncode == 3
    measured = result(tmp_path)
    assert measured["errors"]["kinds"] == {"stream_broken": 30}
    assert measured["goodput"]["share"] == 0
    assert "errors: 100.0%" in done.stderr


def test_error_statuses_and_timeouts_have_their_kind(fake: Fake, tmp_path: Path) -> None:
    load(fake.url, tmp_path, "--set", "extra_body={metadata: {fail: busy}}")
    assert result(tmp_path)["errors"]["kinds"] == {"http_503": 30}
    options = ("extra_body={metadata: {fail: hang-mid-stream}}", "request_timeout_seconds=0.5",
               "arrivals.stages=[{rate: 5, seconds: 1}]")  # fmt: skip
    load(fake.url, tmp_path, *(word for option in options for word in ("--set", option)))
    assert result(tmp_path)["errors"]["kinds"] == {"timeout": 5}


def test_a_full_pool_drops_and_counts_the_drops(fake: Fake, tmp_path: Path) -> None:
    done = load(fake.url, tmp_path, "--set", "max_in_flight=1", "--set", "warmup_seconds=0")
    measured = result(tmp_path)
    dropped = measured["errors"]["kinds"]["dropped"]
    assert done.returncode == 3
    # 2 s of answers that take 0.26 s each, one at a time, hold about seven.
    assert 18 <= dropped <= 27
    assert measured["offered"] == 30 == dropped + measured["complete"]
    assert measured["goodput"]["share"] == pytest.approx(measured["complete"] / 30)


def test_a_stalled_server_delays_everyone_who_came_meanwhile(tmp_path: Path) -> None:
    """Coordinated omission: a closed loop would show one slow request, an open one all that were due."""
    stall, rate = 1.2, 15
    with start_fake(tmp_path) as fake:

        def freeze() -> None:
            time.sleep(3.0)
            os.kill(fake.pid, signal.SIGSTOP)
            time.sleep(stall)
            os.kill(fake.pid, signal.SIGCONT)

        thread = threading.Thread(target=freeze)
        thread.start()
        stages = f"arrivals.stages=[{{rate: {rate}, seconds: 6}}]"
        load(fake.url, tmp_path, "--set", stages, "--set", "warmup_seconds=0")
        thread.join()
    slow = [row for row in rows(tmp_path) if row["finished_at"] - row["intended_start"] > 0.45]
    assert len(slow) > rate * stall * 0.6
    assert result(tmp_path)["metrics"]["e2e_intended"]["p99"] > stall * 0.8


def test_a_client_that_was_held_up_is_no_measurement(fake: Fake, tmp_path: Path) -> None:
    """Frozen for a second, it sends late; the figures then say more about it than about the server."""
    words = load_command(fake.url, tmp_path, "--set", "limits.lateness_p99_ms=50")
    with subprocess.Popen(
        words, cwd=ROOT, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as client:
        wait_for_requests(fake.url, seen_requests(fake.url) + 5)
        client.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        client.send_signal(signal.SIGCONT)
        _, said = client.communicate(timeout=60)
    assert client.returncode == 3
    assert "client: requests were sent late" in said
    measured = result(tmp_path)
    assert measured["client"]["lateness"]["p99"] > 0.5
    assert measured["metrics"]["ttft_intended"]["p99"] > 0.5, "the delay is not hidden from the figures"
    assert measured["metrics"]["ttft"]["p50"] < 0.5


def seen_requests(url: str) -> int:
    with urllib.request.urlopen(f"{url}/fake/stats", timeout=5) as response:
        return int(json.load(response)["requests"])


def wait_for_requests(url: str, count: int) -> None:
    deadline = time.monotonic() + 30
    while seen_requests(url) < count:
        assert time.monotonic() < deadline, "the client never started"
        time.sleep(0.05)


def test_workers_share_the_schedule(fake: Fake, tmp_path: Path) -> None:
    done = load(fake.url, tmp_path, "--workers", "2")
    assert done.returncode == 0, done.stderr
    measured = result(tmp_path)
    assert measured["client"]["processes"] == 2
    assert [row["index"] for row in rows(tmp_path)] == list(range(38)), "every request once, in order"
    assert measured["metrics"]["ttft"]["p50"] >= DELAY


def test_the_ladder_ends_where_the_server_does(tmp_path: Path) -> None:
    """Two slots of 0.26 s each can do about eight requests a second."""
    with start_fake(tmp_path, "--slots", "2") as fake:
        options = ["--start", "3", "--factor", "4", "--seconds", "3", "--set", "limits.error_share=1"]
        done = load(fake.url, tmp_path, *options, command="curve")
    assert done.returncode == 0, done.stderr
    curve = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert [bool(point["saturated"]) for point in curve["points"]] == [False, True]
    assert max(point["achieved_rate"] for point in curve["points"]) < 9
    assert curve["capacity"] == pytest.approx(3, rel=0.1)


def test_the_gap_around_the_capacity_is_halved(tmp_path: Path) -> None:
    with start_fake(tmp_path, "--slots", "2") as fake:
        options = ["--start", "3", "--factor", "4", "--seconds", "3", "--set", "limits.error_share=1"]
        done = load(fake.url, tmp_path, *options, "--refine", "1", command="curve")
    assert done.returncode == 0, done.stderr
    curve = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert [point["rate"] for point in curve["points"]] == [3, 6, 12], "in order of the rate, not of the runs"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--url", "http://127.0.0.1:9"], "is the server up"),
        (["--url", "http://192.0.2.1:80"], "--allow-remote"),
        (["--set", "warmup=3"], "did you mean 'warmup_seconds'"),
        (["--inputs", "none.txt"], "no such file"),
        (["--header", "oops"], "name=value"),
        (["--output", "/proc/nowhere"], "--output /proc/nowhere"),
    ],
)
def test_bad_input_is_one_clear_line(fake: Fake, tmp_path: Path, options: list[str], says: str) -> None:
    done = load(fake.url, tmp_path, *options)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_wrong_master_address_is_one_clear_line() -> None:
    words = [sys.executable, "-m", "tests.load", "worker", "--master", "nowhere"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "error: 'nowhere': expected HOST:PORT\n")
