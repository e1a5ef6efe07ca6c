"""`python -m training adapt` and `adapter` as a person runs them: outputs, kill and resume, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.fixtures.tiny_training import (
    pairs,
    write_data,
    write_home,
    write_references,
)
from training.__main__ import main
from training.adapters.job import adapt
from training.adapters.settings import AdaptConfig
from training.outcome import Outcome

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Position ids are not supported"),
]

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/` with dev references, and the tiny random model `base/`."""
    return write_home(tmp_path_factory.mktemp("adapt"))


def settings(home: Path, output: Path, method: str, **changes: Any) -> dict[str, Any]:
    values = {
        "data": str(home / "data"), "output": str(output), "from": str(home / "base"), "mlflow": False,
        "adapter": {"method": method}, "threads": 1, "precision": "fp32", "max_steps": 8, "compile": "never",
        "batch": {"row_tokens": 96, "rows": 4}, "optimizer": {"lr": 0.02, "weight_decay": 0.0},
        "checkpoint": {"every": 2}, "evaluation": {"every": 100, "max_batches": 2, "samples": 1},
        "quality_inputs": 3,
    }  # fmt: skip
    return {**values, **changes}


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    if stopped.value.code not in (0, None):
        raise stopped.value


def test_lora_learns_and_leaves_adapter_model_result_and_outcome(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "lora"
    values = settings(home, output, "lora", max_steps=60, mlflow=True)
    result = adapt(AdaptConfig.from_dict(values, "test"))
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    assert (output / "adapter" / "adapter_model.safetensors").stat().st_size < 200_000
    assert (
        AutoModelForCausalLM.from_pretrained(output / "model").num_parameters()
        == result["parameters"] - (result["trainable_parameters"])
    )
    outcome = Outcome.read(output)
    assert (outcome.technique, outcome.label, outcome.family) == ("lora", "LoRA r = 16", "adapter")
    assert outcome.adapter == str(output / "adapter")
    assert outcome.model == str(output / "model")
    assert outcome.figure("bleu") is not None
    assert outcome.figure("bleu").n == 3  # type: ignore[union-attr]
    assert outcome.trainable_parameters == result["trainable_parameters"] < outcome.total_parameters
    answers = [json.loads(line) for line in (output / "answers-dev.jsonl").read_text().splitlines()]
    assert len(answers) == 3
    assert any(answer["output"] for answer in answers)


@pytest.mark.parametrize("method", ["prefix", "prompt", "ptuning"])
def test_prompt_methods_leave_an_adapter_and_are_scored_through_peft(
    home: Path, tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = AdaptConfig.from_dict(settings(home, tmp_path / "run", method), "test")
    first = adapt(config)
    outcome = Outcome.read(tmp_path / "run")
    assert outcome.model is None
    assert not (tmp_path / "run" / "model").exists()
    assert outcome.artifact_bytes == sum(p.stat().st_size for p in (tmp_path / "run" / "adapter").iterdir())
    capsys.readouterr()
    assert adapt(config) == first
    assert "already done" in capsys.readouterr().out


def test_a_killed_run_goes_on_to_the_same_bits(home: Path, tmp_path: Path) -> None:
    adapt(AdaptConfig.from_dict(settings(home, tmp_path / "whole", "lora", max_steps=30), "test"))
    config = tmp_path / "job.yaml"
    config.write_text(json.dumps(settings(home, tmp_path / "killed", "lora", max_steps=30)))
    command = [sys.executable, "-m", "training", "adapt", "--config", str(config)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "killed").glob("checkpoints/step-*/state.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "adapter").exists()

    adapt(AdaptConfig.from_yaml(config))
    name = "adapter/adapter_model.safetensors"
    expected, got = load_file(tmp_path / "whole" / name), load_file(tmp_path / "killed" / name)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_scoring_is_done_again_when_it_was_interrupted_but_training_is_not(
    home: Path, tmp_path: Path
) -> None:
    config = AdaptConfig.from_dict(settings(home, tmp_path / "run", "ia3"), "test")
    adapt(config)
    (tmp_path / "run" / "outcome.json").unlink()
    stamp = (tmp_path / "run" / "result.json").stat().st_mtime_ns
    adapt(config)
    assert Outcome.read(tmp_path / "run").technique == "ia3"
    assert (tmp_path / "run" / "result.json").stat().st_mtime_ns == stamp


def test_one_row_is_enough(home: Path, tmp_path: Path) -> None:
    data = write_references(write_data(tmp_path / "one", pairs(count=1), dev=pairs(count=1)))
    result = adapt(
        AdaptConfig.from_dict(settings(home, tmp_path / "run", "lora", data=str(data), max_steps=2), "test")
    )
    assert result["steps"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--method", "lorra"],
            "did you mean 'lora'? known methods: lora, dora, prefix, prompt, ptuning, ia3",
        ),
        (["--set", "adapter.rnak=3"], "unknown key 'adapter.lora.rnak'; did you mean 'rank'?"),
        (["--set", "adapter.method=lara"], "'lara'"),
        (["--set", "batch.row_tokens=8"], "nothing is left to train on; raise batch.row_tokens"),
        (["--set", "batch.row_tokens=256"], "beyond the model's context of 128"),
        (["--set", "adapter.targets=[nothing]"], "lora does not fit this model"),
        (["--from", "nowhere"], "nowhere: no model to start from"),
        (["--data", "EMPTY"], "no row has an assistant message"),
        (["--data", "PROMPTS"], "no row has an assistant message: there is no answer to take a loss on"),
    ],
)
def test_bad_input_is_one_clear_line(
    home: Path, tmp_path: Path, options: list[str], message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_data(tmp_path / "EMPTY", [])
    prompts = [{"id": "a", "messages": [{"role": "user", "content": "name[Saltmarsh]"}]}]
    write_data(tmp_path / "PROMPTS", prompts)
    config = tmp_path / "job.yaml"
    config.write_text(json.dumps(settings(home, tmp_path / "run", "lora")))
    here = [str(tmp_path / option) if option.isupper() else option for option in options]
    with pytest.raises(SystemExit) as stopped:
        run("adapt", "--config", str(config), *here, monkeypatch=monkeypatch)
    assert stopped.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "run" / "adapter").exists()


def test_resuming_with_another_rank_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "job.yaml"
    config.write_text(json.dumps(settings(home, tmp_path / "run", "lora")))
    adapt(AdaptConfig.from_yaml(config))
    with pytest.raises(SystemExit):
        run("adapt", "--config", str(config), "--set", "adapter.rank=4", monkeypatch=monkeypatch)
    assert "adapter.rank: 16 -> 4" in capsys.readouterr().err.splitlines()[-1]
