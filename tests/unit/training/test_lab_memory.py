"""The memory calculator against what PyTorch allocates, byte by byte, and the words it prints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from common.errors import ConfigError
from tests.fixtures.tiny_training import TINY
from training.labs.memory import training_memory
from training.labs.memory_report import Speed, flops_of, report, shape_of
from training.labs.trial import Trial, TrialConfig, batches
from training.model import ModelConfig

pytestmark = pytest.mark.unit

GROUPED = ModelConfig(
    hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=6,
    num_key_value_heads=2, max_position_embeddings=256,
)  # fmt: skip


def trial(**changes: Any) -> TrialConfig:
    values = {"model": GROUPED, "vocabulary": 640, "rows": 4, "row_tokens": 128, "threads": 1, **changes}
    return TrialConfig.model_validate(values)


def allocated_peak(config: TrialConfig) -> int:
    """Bytes on top of the states at the peak of a step, as PyTorch's allocator reports each block."""
    one = Trial(config)
    one.run(1)  # after it the optimizer has its states
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        one.run(1)
    results = profiler.profiler.kineto_results
    blocks = [event for event in results.events() if event.name() == "[memory]"]
    now = peak = 0
    for block in sorted(blocks, key=lambda event: event.start_ns()):
        now += block.nbytes()
        peak = max(peak, now)
    return peak


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"activation_checkpointing": True},
        {"rows": 16, "row_tokens": 32, "vocabulary": 64},  # the peak is in the backward pass
        {"rows": 1, "row_tokens": 16, "vocabulary": 64},  # little but weights and their gradients
        {"precision": "bf16"},
        {"dropout": 0.1},
        {"accumulate": 3},
    ],
    ids=str,
)
def test_the_predicted_peak_is_what_torch_allocates(changes: dict[str, Any]) -> None:
    config = trial(**changes)
    memory = training_memory(shape_of(config))
    predicted = memory.moments[memory.peak_moment]
    assert predicted == pytest.approx(allocated_peak(config), rel=0.1)


def test_states_are_what_the_optimizer_holds() -> None:
    memory = training_memory(shape_of(trial(model=TINY)))
    one = Trial(trial(model=TINY))
    one.run(1)
    optimizer = one._optimizer
    held = sum(t.numel() * t.element_size() for t in optimizer.state_tensors().values())
    assert memory.weights + memory.optimizer == pytest.approx(held, rel=1e-3)
    assert memory.gradients == optimizer.grad.numel() * 4


def test_checkpointing_trades_activations_for_flops() -> None:
    plain, again = trial(), trial(activation_checkpointing=True)
    assert training_memory(shape_of(again)).peak < 0.6 * training_memory(shape_of(plain)).peak
    assert flops_of(plain) < flops_of(again) < 1.34 * flops_of(plain)


def test_bf16_halves_activations_only_in_part() -> None:
    wide, narrow = (training_memory(shape_of(trial(precision=p))) for p in ("fp32", "bf16"))
    assert 0.5 < narrow.activations / wide.activations < 0.75  # norms keep float32
    assert narrow.states > wide.states  # bf16 weights beside the master weights


def test_the_report_adds_up() -> None:
    speed = Speed(peak_flops=100e9, share=0.25, source="given")
    text, values = report(trial(rows=2, accumulate=4), speed)
    assert values["tokens_per_second"] == pytest.approx(25e9 / values["flops_per_token"])
    assert values["flops_per_step"] == pytest.approx(values["flops_per_token"] * 2 * 4 * 128)
    assert "100.0 GFLOP/s x 25.0% (given)" in text
    states = sum(
        values["memory"][k] for k in ("weights", "master_weights", "gradients", "optimizer", "batch")
    )
    assert values["memory"]["states"] == states
    assert values["memory"]["peak"] > states


def test_unpacked_rows_hold_one_text_each_and_packed_ones_little_padding() -> None:
    packed = next(batches(trial(texts="short")))
    alone = next(batches(trial(texts="short", packing=False)))
    assert packed.real_tokens > 0.9 * packed.tokens.numel()
    assert alone.real_tokens < 0.5 * alone.tokens.numel()
    assert len(alone.ids) == 4


def test_a_shape_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="row_tokens"):
        TrialConfig.from_dict({"model": GROUPED.model_dump(), "row_tokens": 4}, "options")


def test_trials_learn_the_same_with_either_loss() -> None:
    fused, plain = (Trial(trial(model=TINY, vocabulary=320, fused_loss=f)).run(3)[2] for f in (True, False))
    torch.testing.assert_close(torch.tensor(fused), torch.tensor(plain), rtol=1e-4, atol=1e-4)
