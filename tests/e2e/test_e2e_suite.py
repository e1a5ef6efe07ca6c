"""`make train-all` on tiny models: killed, continued, its page complete, and done only once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.fixtures.long_job import clone_like, kill_when_it_says, run_to_the_end

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

COMMAND = (sys.executable, "-m", "training", "all", "--config", "training/configs/train-all-tiny.yaml")


def test_the_suite_continues_after_a_kill_compares_and_is_done_once(tmp_path: Path) -> None:
    workplace = clone_like(tmp_path)
    kill_when_it_says("full, seed 1", COMMAND, workplace)
    continued = run_to_the_end(COMMAND, workplace)
    assert "tokenizer: done before" in continued
    assert "base, seed 1: done before" in continued
    assert "lora, seed 1: done before" not in continued

    runs = workplace / "runs/train-all-tiny"
    report = json.loads((workplace / "reports/training-tiny/comparison.json").read_text())
    names = {path.parent.parent.name for path in runs.glob("*/seed-*/outcome.json")}
    assert names == {"base", "full", "lora", "dpo"}
    assert {row["technique"] for row in report["techniques"]} == names
    assert report["serving_cost"].keys() == names
    page = (workplace / "reports/training-tiny/index.html").read_text()
    for label in ("Full fine-tuning", "LoRA", "DPO"):
        assert label in page

    again = run_to_the_end(COMMAND, workplace)
    stages = int(again.partition("1/")[2].partition(" ")[0])
    always = 2  # the serving rates, which know for themselves that nothing has changed, and the page
    assert again.count("done before") == stages - always, again
    assert "serving: measured before" in again
