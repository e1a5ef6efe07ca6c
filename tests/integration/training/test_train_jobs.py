"""The training jobs as a person runs them: to the end, killed and started again, stopped, with bad input."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.fixtures.tiny_training import FOODS, NAMES, TINY, pairs, write_data, write_tokenizer
from training.__main__ import main
from training.config import PretrainConfig, SftConfig
from training.pretrain import pretrain
from training.sft import sft

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    write_tokenizer(write_data(folder / "data", pairs()), folder / "tokenizer")
    return folder / "data"


def settings(data: Path, output: Path, **changes: object) -> dict[str, object]:
    return {
        "model": TINY.model_dump(), "data": str(data), "output": str(output), "mlflow": False, "threads": 1,
        "tokenizer": str(data.parent / "tokenizer"), "precision": "fp32", "max_steps": 120,
        "compile": "never",
        "batch": {"row_tokens": 64, "rows": 4, "accumulate": 2}, "optimizer": {"lr": 0.01},
        "checkpoint": {"every": 10, "keep": 2}, "evaluation": {"every": 100, "max_batches": 2},
        "dropout": 0.1,
        **changes,
    }  # fmt: skip


def write_config(folder: Path, values: dict[str, object]) -> Path:
    path = folder / "job.yaml"
    path.write_text(json.dumps(values))  # JSON is YAML
    return path


def start(config: Path, *options: str, limit: int | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "training", "pretrain", "--config", str(config), *options]
    shorten = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, preexec_fn=shorten)


def fail(
    config: Path, *options: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """The last line on stderr of a command that must exit with code 2; in this process, to save seconds."""
    monkeypatch.setattr(sys, "argv", ["training", "pretrain", "--config", str(config), *options])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def wait_for_checkpoint(output: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not list(output.glob("checkpoints/step-*/state.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model" / "model.safetensors")


def test_a_killed_run_started_again_ends_with_the_same_bits(data: Path, tmp_path: Path) -> None:
    whole = PretrainConfig.from_dict(settings(data, tmp_path / "whole"), "test")
    expected_result = pretrain(whole)
    config = write_config(tmp_path, settings(data, tmp_path / "killed"))
    process = start(config)
    wait_for_checkpoint(tmp_path / "killed", process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert not (tmp_path / "killed" / "result.json").exists()

    again = start(config)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert "goes on from" in errors
    expected, got = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    lines = (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 121))
    result = json.loads((tmp_path / "killed" / "result.json").read_text())
    assert result["tokens"] == expected_result["tokens"]
    assert result["dev_loss"] == expected_result["dev_loss"]


def test_a_stopped_run_saves_its_state_and_says_how_to_go_on(data: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path, settings(data, tmp_path / "run", max_steps=100_000))
    process = start(config)
    wait_for_checkpoint(tmp_path / "run", process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on from there" in errors.splitlines()[-1]
    step = int(errors.split("stopped after step ")[1].split(",")[0])
    assert (tmp_path / "run" / "checkpoints" / f"step-{step:08d}" / "state.json").exists()


def test_a_full_disk_at_a_checkpoint_leaves_the_last_one_whole(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    values = settings(data, output, checkpoint={"every": 10, "keep": 5}, max_steps=100_000)
    config = write_config(tmp_path, values)
    first = start(config)
    wait_for_checkpoint(output, first)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    before = sorted(output.glob("checkpoints/*"))

    second = start(config, limit=100_000)  # no file may grow beyond this: the write fails as on a full disk
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 2, errors
    assert "Traceback" not in errors
    assert f"{before[-1]} is whole" in errors.splitlines()[-1]
    assert sorted(output.glob("checkpoints/*")) == before


def test_fine_tuning_learns_to_answer_and_its_model_loads_in_transformers(data: Path, tmp_path: Path) -> None:
    base = settings(data, tmp_path / "base", max_steps=60, dropout=0.0)
    pretrain(PretrainConfig.from_dict(base, "test"))
    values = {
        **settings(data, tmp_path / "sft", max_steps=200, dropout=0.0, mlflow=True),
        "batch": {"row_tokens": 128, "rows": 4},
        "from": str(tmp_path / "base"),
    }
    del values["model"], values["tokenizer"]
    result = sft(SftConfig.from_dict(values, "test"))
    assert result["padding_share"] < 0.05
    assert result["dev_loss"] < 0.3

    folder = tmp_path / "sft" / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.dtype == torch.float32
    # One answer of so small a model hangs on the last bit of a matrix product; most of twenty do not.
    asked = [(name, f"name[{name}], food[{food}]") for name in NAMES for food in FOODS]
    right = 0
    for name, content in asked:
        message = [{"role": "user", "content": content}]
        prompt = tokenizer.apply_chat_template(
            message, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        made = model.generate(**prompt, max_new_tokens=40)[0]
        right += name in tokenizer.decode(made, skip_special_tokens=True).removeprefix(content)
    assert right > len(asked) / 2, "by chance a fifth"
    samples = [json.loads(line) for line in (tmp_path / "sft" / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {100, 200}

    import mlflow

    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("sft").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["dev_loss"] == pytest.approx(result["dev_loss"])
    assert run.data.params["optimizer.lr"] == "0.01"


def test_pretraining_shows_how_it_goes_on_from_the_opening_of_a_plain_text(
    data: Path, tmp_path: Path
) -> None:
    text = " ".join(f"{name} serves {food} food." for name in NAMES for food in FOODS)
    rows = "".join(json.dumps({"id": i, "text": text}) + "\n" for i in ("short", "long"))
    (tmp_path / "books").mkdir()
    for split in ("train", "dev"):
        (tmp_path / "books" / f"{split}.jsonl").write_text(rows.replace(text, text[:9], 1))
    values = settings(tmp_path / "books", tmp_path / "run", max_steps=2)
    pretrain(PretrainConfig.from_dict({**values, "tokenizer": str(data.parent / "tokenizer")}, "test"))
    # Two texts, two samples, although the long one fills several rows.
    short, long = map(json.loads, (tmp_path / "run" / "samples.jsonl").read_text().splitlines())
    assert text[:9] == short["prompt"] + short["reference"]
    assert text.startswith(long["prompt"] + long["reference"])
    assert min(len(short["prompt"]), len(short["reference"])) > 0
    assert len(long["prompt"]) < len(long["reference"])
    assert set(long) == {"step", "prompt", "answer", "reference"}


def test_a_finished_run_is_not_done_twice(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = settings(data, tmp_path / "run", max_steps=3)
    first = pretrain(PretrainConfig.from_dict(values, "test"))
    assert pretrain(PretrainConfig.from_dict(values, "test")) == first
    assert "already done" in capsys.readouterr().out


def test_one_row_is_enough(data: Path, tmp_path: Path) -> None:
    small = write_data(tmp_path / "one", pairs(count=1), dev=[])
    result = pretrain(
        PretrainConfig.from_dict(
            {**settings(data, tmp_path / "run", max_steps=5), "data": str(small)}, "test"
        )
    )
    assert result["steps"] == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "optimizer.lrr=1"], "unknown key 'optimizer.lrr'; did you mean 'lr'?"),
        (["--set", "model=huge"], "unknown size 'huge'"),
        (["--set", "batch.row_tokens=4096"], "beyond the model's context of 128"),
        (["--set", "optimizer.lr=1e30", "--set", "optimizer.clip_norm=1e30"], "training diverged at step"),
        (["--data", "nowhere"], "prepares a data set"),
    ],
)
def test_bad_input_is_one_clear_line(
    data: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = write_config(tmp_path, settings(data, tmp_path / "run", max_steps=50))
    line = fail(config, *options, monkeypatch=monkeypatch, capsys=capsys)
    assert line.startswith("error: ")
    assert message in line


def test_resuming_with_other_settings_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, settings(data, tmp_path / "run", max_steps=20))
    pretrain(PretrainConfig.from_yaml(config))
    line = fail(config, "--set", "optimizer.lr=0.02", monkeypatch=monkeypatch, capsys=capsys)
    assert "optimizer.lr: 0.01 -> 0.02" in line
