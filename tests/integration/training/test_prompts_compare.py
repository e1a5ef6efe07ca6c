"""`python -m training prompts compare` as a person runs it: search, soft prompt, page, outcomes; twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.fixtures.tiny_training import (
    TINY,
    write_home,
)
from training.__main__ import main
from training.curriculum.records import read_records
from training.outcome import Outcome

pytestmark = pytest.mark.integration

TASK = """
name: tiny
data: elsewhere
metrics: [bleu, ser]
sizes: {search: 8, demonstrations: 4}
budget: 9000
max_tokens: 12
candidates:
  instructions: ["", Describe it.]
  demonstrations: [0, 1]
  draws: 1
search: {population: 4, rounds: 1, min_inputs: 2}
resamples: 50
"""


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code in (0, None)


def test_written_and_learnt_prompts_end_in_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_home(tmp_path) / "data"
    (tmp_path / "task.yaml").write_text(TASK)
    output = tmp_path / "prompts"
    small = '["batch.rows=2", "batch.row_tokens=96", "adapter.virtual_tokens=4", "threads=1"]'
    command = [
        "prompts", "compare", "--task", str(tmp_path / "task.yaml"), "--from", str(tmp_path / "base"),
        "--data", str(data), "--output", str(output), "--set", "methods=[prompt]", "--set", "mlflow=false",
        "--set", f"training={small}",
    ]  # fmt: skip
    run(command, monkeypatch)
    document = json.loads((output / "comparison.json").read_text())
    rows = {row["key"]: row for row in document["rows"]}
    assert list(rows) == ["none", "written", "few-shot", "best", "soft-prompt"]
    inputs = len((data / "references-dev.jsonl").read_text().splitlines())
    assert {row["metrics"][0]["n"] for row in rows.values()} == {inputs}
    assert 0 < rows["best"]["spent"] <= 9000
    assert 6000 < rows["soft-prompt"]["spent"] <= 9000
    assert rows["soft-prompt"]["trainable_parameters"] == 4 * TINY.hidden_size
    assert "Write the prompt, or learn it?" in (output / "index.html").read_text()
    assert "| Prompt tuning, 4 tokens:" in (output / "comparison.md").read_text()
    techniques = {record.outcome.technique: record for record in read_records(output)}
    assert techniques.keys() == {"prompt-search", "few-shot", "soft-prompt"}
    for record in techniques.values():
        assert record.outcome.family == "prompting"
        assert record.outcome.data == str(data)
        assert len(record.answers()) == inputs
    assert Outcome.read(output).technique == "prompt-search"
    capfd.readouterr()
    before = (output / "comparison.md").read_text()
    run(command, monkeypatch)
    said = capfd.readouterr()
    assert "already done" in said.out
    assert "answer/s" not in said.err  # nothing was asked again
    assert (output / "comparison.md").read_text() == before
