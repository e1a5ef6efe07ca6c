"""`python -m training distil`, `transfer` and `outcome` as a person runs them, on tiny models."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.tiny_training import (
    TINY,
    tiny_model,
    write_home,
)
from training.__main__ import main
from training.distillation.job import distil
from training.distillation.settings import DistilConfig
from training.examples import ChatTokenizer
from training.layout import save_model
from training.outcome import Outcome
from training.transfer.job import TransferConfig, transfer

pytestmark = pytest.mark.integration

STUDENT = TINY.model_copy(update={"hidden_size": 16, "intermediate_size": 32, "num_key_value_heads": 4})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/` with dev references, and the tiny random model `base/`."""
    return write_home(tmp_path_factory.mktemp("distil"))


def settings(home: Path, output: Path, **changes: Any) -> dict[str, Any]:
    values = {
        "data": str(home / "data"), "output": str(output), "mlflow": False, "threads": 1,
        "precision": "fp32", "max_steps": 8, "compile": "never", "batch": {"row_tokens": 96, "rows": 4},
        "optimizer": {"lr": 0.01}, "evaluation": {"every": 100, "max_batches": 2, "samples": 1},
        "quality_inputs": 3,
    }  # fmt: skip
    return {**values, **changes}


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize("mode", ["logits", "sequence", "none"])
def test_a_student_is_trained_scored_and_not_trained_again(
    home: Path, tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = settings(
        home, tmp_path / "run", teacher=str(home / "base"), student=STUDENT.model_dump(), mode=mode,
        answers={"candidates": 2},
    )  # fmt: skip
    config = DistilConfig.from_dict(values, "test")
    result = distil(config)
    outcome = Outcome.read(tmp_path / "run")
    assert (outcome.technique, outcome.family) == (f"distil-{mode}", "distillation")
    assert outcome.details["teacher"] == str(home / "base")
    assert outcome.start is None
    assert outcome.total_parameters == result["parameters"] < 45_000
    assert (tmp_path / "run" / "teacher" / "train.jsonl").exists() == (mode == "sequence")
    assert distil(config) == result
    assert "already done" in capsys.readouterr().out


def test_dev_losses_compare_with_those_of_other_jobs(home: Path, tmp_path: Path) -> None:
    """One step at a rate of nearly nothing leaves the same student, so the same dev loss without teacher."""
    losses = []
    for mode in ("logits", "none"):
        values = settings(
            home, tmp_path / mode, teacher=str(home / "base"), student=STUDENT.model_dump(), mode=mode,
            max_steps=1, optimizer={"lr": 1e-12, "weight_decay": 0.0},
        )  # fmt: skip
        losses.append(distil(DistilConfig.from_dict(values, "test"))["dev_loss"])
    assert losses == pytest.approx([losses[0]] * 2, rel=1e-5)


def test_a_student_may_start_from_a_model(home: Path, tmp_path: Path) -> None:
    values = settings(
        home, tmp_path / "run", teacher=str(home / "base"), student=str(home / "base"), max_steps=1
    )
    distil(DistilConfig.from_dict(values, "test"))
    assert Outcome.read(tmp_path / "run").start == str(home / "base")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--student", "picoo"], "unknown size 'picoo'; did you mean 'pico'?"),
        (["--mode", "logit"], "'logits', 'sequence' or 'none'"),
        (["--teacher", "nowhere"], "nowhere: no model to start from"),
        (["--set", "share=2"], "share"),
        (["--student", "OTHER"], "has 384 token ids, the teacher 320"),
    ],
)
def test_bad_input_is_one_clear_line(
    home: Path, tmp_path: Path, options: list[str], message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tokenizer = ChatTokenizer(home / "base")
    other = tiny_model(vocabulary=384)
    save_model(tmp_path / "OTHER", other.state_dict(), TINY, tokenizer.folder, tokenizer.special)
    config = tmp_path / "job.yaml"
    config.write_text(json.dumps(settings(home, tmp_path / "run", teacher=str(home / "base"))))
    here = [str(tmp_path / option) if option.isupper() else option for option in options]
    assert command(monkeypatch, "distil", "--config", str(config), *here) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line


def test_transfer_measures_both_starts_at_every_size_and_goes_on(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = settings(
        home, tmp_path / "study", shares=[0.25, 1.0], max_steps=4, **{"from": str(home / "base")}
    )
    points = transfer(TransferConfig.from_dict(values, "test"))
    assert [(p.start, p.share) for p in points] == [
        ("pretrained", 0.25), ("random", 0.25), ("pretrained", 1.0), ("random", 1.0)
    ]  # fmt: skip
    assert {p.steps for p in points} == {4}
    assert points[0].inputs == round(0.25 * points[2].inputs)
    assert points[0].epochs > points[2].epochs
    assert points[0].dev_loss != points[1].dev_loss
    table = json.loads((tmp_path / "study" / "transfer.json").read_text())
    assert [row["figures"][0]["n"] for row in table] == [3, 3, 3, 3]
    assert (tmp_path / "study" / "transfer.png").read_bytes().startswith(b"\x89PNG")

    capsys.readouterr()
    more = {**values, "shares": [0.25, 0.5, 1.0]}
    again = transfer(TransferConfig.from_dict(more, "test"))
    errors = capsys.readouterr().err
    assert [p for p in again if p.share != 0.5] == points
    assert errors.count("transfer: pretrained start, 50.0% of the inputs") == 1
    assert "25.0%" not in errors


def test_a_finished_run_joins_the_comparison(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "job.yaml"
    values = settings(home, tmp_path / "run", **{"from": str(home / "base")})
    del values["quality_inputs"]
    config.write_text(json.dumps(values))
    assert command(monkeypatch, "sft", "--config", str(config)) == 0
    options = ["--run", str(tmp_path / "run"), "--technique", "full", "--label", "Full fine-tuning"]
    assert command(monkeypatch, "outcome", *options) == 0
    outcome = Outcome.read(tmp_path / "run")
    assert (outcome.technique, outcome.label, outcome.family) == ("full", "Full fine-tuning", "fine-tuning")
    assert outcome.start == str(home / "base")
    assert outcome.trainable_parameters == outcome.total_parameters
    assert outcome.command.startswith("training sft")
    assert "Full fine-tuning: bleu" in capsys.readouterr().out

    assert command(monkeypatch, "outcome", *options, "--family", "unknown") == 2
    assert "known: baseline, fine-tuning" in capsys.readouterr().err
    assert command(monkeypatch, "outcome", "--run", str(home), "--technique", "x") == 2
    assert "no finished training run" in capsys.readouterr().err
