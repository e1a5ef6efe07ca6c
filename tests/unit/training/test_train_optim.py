"""The flat optimizer against torch's AdamW, the schedules, the checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from training.checkpoint import CheckpointError, Checkpoints, Progress
from training.optim import FlatAdamW, OptimizerConfig

pytestmark = pytest.mark.unit


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def backward(model: nn.Module, seed: int) -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
    model(x.to(next(model.parameters()).dtype)).float().pow(2).sum().backward()


def test_steps_equal_those_of_adamw_with_accumulation_and_clipping() -> None:
    config = OptimizerConfig(lr=0.05, clip_norm=0.5)
    ours, theirs = small_network(), small_network()
    flat = FlatAdamW(ours, config, torch.float32)
    groups = [
        {"params": [p for p in theirs.parameters() if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in theirs.parameters() if p.dim() <= 1], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=0.05, betas=config.betas, eps=config.eps)
    for step in range(5):
        for micro in range(2):
            backward(ours, 10 * step + micro)
            flat.collect()
            backward(theirs, 10 * step + micro)
        norm = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        assert flat.grad_norm() == pytest.approx(float(norm), rel=1e-5)
        flat.update(0.05, flat.grad_norm())
        adamw.step()
        adamw.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_bf16_weights_follow_float32_masters() -> None:
    model = small_network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    flat = FlatAdamW(model, OptimizerConfig(lr=1e-5), torch.bfloat16)
    assert all(p.dtype == torch.bfloat16 for p in model.parameters())
    for _ in range(3):
        backward(model, 1)
        flat.collect()
        flat.update(1e-5, flat.grad_norm())
    masters = flat.master_weights(model)
    for name, parameter in model.named_parameters():
        assert masters[name].dtype == torch.float32
        assert not torch.equal(masters[name], before[name])  # steps too small for bf16 are not lost
        assert torch.equal(masters[name].bfloat16(), parameter.data)


def test_only_trainable_parameters_move() -> None:
    model = small_network()
    first = model[0]
    assert isinstance(first, nn.Linear)
    first.requires_grad_(False)
    frozen = first.weight.clone()
    flat = FlatAdamW(model, OptimizerConfig(lr=0.1), torch.float32)
    backward(model, 1)
    flat.collect()
    flat.update(0.1, flat.grad_norm())
    assert torch.equal(first.weight, frozen)
    assert flat.master.numel() == 5 * 3 + 3


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_rates_rise_and_fall(schedule: str) -> None:
    config = OptimizerConfig.from_dict(
        {"lr": 1.0, "warmup_share": 0.1, "schedule": schedule, "min_lr_share": 0.1}, "test"
    )
    rates = [config.rate_at(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert max(rates) == 1.0
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0.1 <= rates[-1] < 0.15
    assert (rates[60] == 1.0) == (schedule == "wsd")


def checkpoint(folder: Path, **settings: object) -> Checkpoints:
    return Checkpoints(folder, {"optimizer": {"lr": 0.1}, **settings}, keep=2)


def test_checkpoints_come_back_with_the_random_state(tmp_path: Path) -> None:
    torch.manual_seed(1)
    saved = checkpoint(tmp_path).save(Progress(step=3, epoch=1, row=7), {"master": torch.arange(5.0)})
    expected = torch.rand(3)
    progress, tensors = checkpoint(tmp_path).load(saved)
    assert (progress.step, progress.epoch, progress.row) == (3, 1, 7)
    assert torch.equal(tensors["master"], torch.arange(5.0))
    assert torch.equal(torch.rand(3), expected)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    store = checkpoint(tmp_path)
    for step in (5, 10, 15):
        store.save(Progress(step=step), {"master": torch.zeros(1)})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-00000010", "step-00000015"]


def test_a_checkpoint_of_another_run_is_refused_naming_the_keys(tmp_path: Path) -> None:
    saved = checkpoint(tmp_path, seed=1).save(Progress(step=1), {"master": torch.zeros(1)})
    other = Checkpoints(tmp_path, {"optimizer": {"lr": 0.2}, "seed": 2}, keep=2)
    with pytest.raises(CheckpointError, match=r"optimizer.lr: 0.1 -> 0.2; seed: 1 -> 2"):
        other.load(saved)


@pytest.mark.parametrize("damage", ["cut", "json"])
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    saved = checkpoint(tmp_path).save(Progress(step=1), {"master": torch.zeros(100)})
    if damage == "cut":
        (saved / "state.safetensors").write_bytes((saved / "state.safetensors").read_bytes()[:50])
    else:
        (saved / "state.json").write_text(json.dumps({"progress": {}}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoint(tmp_path).load(saved)


def test_a_half_written_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path).save(Progress(step=1), {"master": torch.zeros(1)})
    (tmp_path / ".step-00000002.abc.part").mkdir()
    (tmp_path / "step-00000003").mkdir()  # a folder without state.json
    assert checkpoint(tmp_path).newest() == whole
