"""The main job end to end on a small budget: interrupted, continued, complete, and done only once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
ROOMS = (
    "bundle", "common", "edge", "evaluation", "observability", "roads", "services", "tests", "tradeoffs",
    "training",
)  # fmt: skip
COMMAND = (sys.executable, "-m", "tradeoffs", "demo", "--budget", "smoke")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone, so that the job's outputs stay out of the real one."""
    folder = tmp_path_factory.mktemp("clone")
    for room in ROOMS:
        (folder / room).symlink_to(ROOT / room)
    return folder


def environment(workplace: Path) -> dict[str, str]:
    return {**os.environ, "TRIVIUM_KEYS": str(workplace / "keys"), "OMP_NUM_THREADS": "2"}


def interrupt_in_training(workplace: Path) -> None:
    """Start the job and kill it, without a warning, as soon as pretraining has begun."""
    log = workplace / "interrupted.log"
    with log.open("wb") as stream:
        job = subprocess.Popen(
            COMMAND, cwd=workplace, env=environment(workplace), stdout=stream, stderr=stream,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while "3/15 pretraining" not in log.read_text():
            assert job.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()


def run_job(workplace: Path) -> str:
    finished = subprocess.run(
        COMMAND, cwd=workplace, env=environment(workplace), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    return finished.stdout


def test_the_main_job_continues_ends_with_a_report_and_is_done_once(workplace: Path) -> None:
    interrupt_in_training(workplace)
    continued = run_job(workplace)
    assert "1/15 data: done before" in continued
    assert "2/15 tokenizer: done before" in continued
    assert "pretraining: done before" not in continued

    results = json.loads((workplace / "runs/smoke/results.json").read_text())
    lanes = {f"{lane['road']}-{lane['format']}": lane for lane in results["lanes"]}
    assert set(lanes) == {"onprem-fp32", "cloud-fp32", "edge-fp32", "edge-int4"}
    assert lanes["cloud-fp32"]["simulated"] == ["network"]
    for name, lane in lanes.items():
        assert lane["load"]["error_share"] == 0, name
        assert lane["curve"], name
        if name != "edge-int4":
            assert lane["parity"]["exact"] == lane["parity"]["n"] == 8, (name, lane["parity"])
    events = (workplace / "runs/smoke/lanes/edge-int4/events.jsonl").read_text().splitlines()
    assert {json.loads(line)["road"] for line in events} == {"edge"}

    page = (workplace / "reports/tradeoffs/index.html").read_text()
    assert "simulated network" in page
    assert {path.suffix for path in (workplace / "reports/tradeoffs").iterdir()} >= {
        ".html",
        ".png",
        ".md",
        ".json",
    }

    again = run_job(workplace)
    assert again.count("done before") == 13, again
