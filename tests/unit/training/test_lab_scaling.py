"""The scaling lab on a grid of models that train in a blink."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from common.errors import ConfigError
from training.labs.ladder import checkpoint_every, make_tokenizer, run_settings, train_ladder
from training.labs.scaling import scaling_lab, table
from training.labs.scaling_config import ScalingConfig
from training.labs.scaling_page import write_page
from training.pretrain import pretrain

pytestmark = pytest.mark.unit

_WORDS = ("the", "river", "boat", "old", "man", "sings", "of", "rain", "and", "stone", "by", "night")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(1)
    folder = tmp_path_factory.mktemp("texts")
    for split, count in (("train", 300), ("dev", 10)):
        rows = (
            {"id": f"{split}-{i}", "task": "text", "text": " ".join(rng.choices(_WORDS, k=40))}
            for i in range(count)
        )
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def lab(data: Path, output: Path, **changes: Any) -> ScalingConfig:
    size = {"num_attention_heads": 2, "lr": 0.01}
    values = {
        "data": str(data), "output": str(output), "vocabulary": 270, "threads": 1, "precision": "fp32",
        "batch": {"row_tokens": 32, "rows": 2}, "warmup_steps": 2, "dev_batches": 2, "resamples": 3,
        "sizes": [
            {"hidden_size": width, "num_hidden_layers": layers, **size}
            for width, layers in ((16, 1), (16, 2), (24, 2))
        ],
        "budgets": [512, 1024, 2048],
        "held_out": {"size": {"hidden_size": 32, "num_hidden_layers": 2, **size}, "tokens": 2048},
        **changes,
    }  # fmt: skip
    return ScalingConfig.from_dict(values, "test")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def test_a_branched_run_ends_with_the_bits_of_one_from_nothing(data: Path, tmp_path: Path) -> None:
    branched, whole = lab(data, tmp_path / "branched"), lab(data, tmp_path / "whole")
    make_tokenizer(branched), make_tokenizer(whole)
    size = branched.sizes[0]
    ladder = train_ladder(branched, size, branched.budgets)
    settings = run_settings(whole, size, whole.budgets[-1])
    result = pretrain(settings)
    assert ladder[-1].loss == result["dev_loss"]
    assert ladder[-1].tokens == result["tokens"]
    ours, theirs = weights(tmp_path / "branched" / "runs" / ladder[-1].name), weights(settings.output)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    # It really branched off: nothing before the decay of the shorter run was trained again.
    lines = (tmp_path / "branched" / "runs" / ladder[-1].name / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["step"] == 1 + branched.decay_start(branched.steps(1024))


def test_the_lab_measures_fits_predicts_and_does_nothing_twice(data: Path, tmp_path: Path) -> None:
    config = lab(data, tmp_path)
    runs, readings = scaling_lab(config)
    assert len(runs) == 3 * 3 + 1
    assert [run.held_out for run in runs] == [False] * 9 + [True]
    assert {run.total - run.non_embedding for run in runs[:6]} == {runs[0].total - runs[0].non_embedding}
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["fits"][0]["held_out"]["measured"] == runs[-1].loss
    assert "held-out run: predicted" in table(runs, readings)
    assert all(path.stat().st_size for path in write_page(config, runs, readings))
    page = (tmp_path / "index.html").read_text()
    assert all(f"{run.loss:.4f}" in page for run in runs)
    assert page.count("<svg") == 3

    trained = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/model/model.safetensors")}
    (tmp_path / "runs" / runs[4].name / "result.json").unlink()
    again, _ = scaling_lab(config)
    assert [run.loss for run in again] == [run.loss for run in runs]
    changed = {path.parts[-3] for path, at in trained.items() if path.stat().st_mtime_ns != at}
    assert changed == {runs[4].name}


def test_a_data_set_below_the_budgets_is_refused(data: Path, tmp_path: Path) -> None:
    config = lab(data, tmp_path, budgets=[512, 1024, 10_000_000])
    with pytest.raises(ConfigError, match="the largest budget is 10,000,000: a text would be seen twice"):
        scaling_lab(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgets": [1024, 512, 2048]}, "budgets must rise"),
        ({"budgets": [512, 1024]}, "budgets"),
        ({"warmup_steps": 7}, "warmup_steps reaches into the decay"),
        ({"buget": 1}, "unknown key 'buget'; did you mean 'budgets'"),
    ],
)
def test_a_grid_that_cannot_work_is_refused(
    data: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        lab(data, tmp_path, **changes)


def test_a_held_out_run_that_is_not_larger_is_refused(data: Path, tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "lr": 0.01}
    with pytest.raises(ConfigError, match="must be above"):
        lab(data, tmp_path, held_out={"size": small, "tokens": 1024})


@pytest.mark.parametrize("start", [1, 6, 7, 96, 97])
def test_a_checkpoint_falls_on_the_start_of_the_decay(start: int) -> None:
    assert start % checkpoint_every(start) == 0


def test_the_shipped_grid_has_five_sizes_and_four_budgets() -> None:
    config = ScalingConfig.from_yaml(Path(__file__).parents[3] / "training/configs/lab-scaling.yaml")
    assert len(config.sizes) >= 5
    assert len(config.budgets) >= 4
