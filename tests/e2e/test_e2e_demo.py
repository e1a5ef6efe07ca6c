"""The main job end to end on a small budget: interrupted, continued, complete, and done only once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.fixtures.long_job import clone_like, kill_when_it_says, run_to_the_end

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

COMMAND = (sys.executable, "-m", "tradeoffs", "demo", "--budget", "smoke")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone."""
    return clone_like(tmp_path_factory.mktemp("clone"))


def test_the_main_job_continues_ends_with_a_report_and_is_done_once(workplace: Path) -> None:
    kill_when_it_says("3/15 pretraining", COMMAND, workplace)
    continued = run_to_the_end(COMMAND, workplace)
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

    again = run_to_the_end(COMMAND, workplace)
    assert again.count("done before") == 13, again
