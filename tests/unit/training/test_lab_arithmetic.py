"""Counted weights are the model's; counted FLOPs are those that PyTorch counts."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from tests.fixtures.tiny_training import TINY, tiny_model
from training.labs import arithmetic
from training.model import Llama, ModelConfig

pytestmark = pytest.mark.unit

WIDE = ModelConfig(
    hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=3,
    num_key_value_heads=1, max_position_embeddings=64,
)  # fmt: skip


@pytest.mark.parametrize("config", [TINY, WIDE])
def test_weights_are_those_of_the_model(config: ModelConfig) -> None:
    model = Llama(config, 320)
    assert arithmetic.parameter_count(config, 320) == model.parameter_count()
    assert arithmetic.non_embedding_count(config) == model.parameter_count() - 320 * config.hidden_size


@pytest.mark.parametrize("checkpointing", [False, True])
def test_flops_are_those_that_torch_counts(checkpointing: bool) -> None:
    model = tiny_model()
    model.recompute = checkpointing
    rows, length = 2, 64
    tokens = torch.zeros(rows, length, dtype=torch.long)
    visible = torch.ones(length, length, dtype=torch.bool).tril().expand(rows, -1, -1)
    with FlopCounterMode(display=False) as counter:
        hidden = model(tokens, torch.arange(length).expand(rows, -1), visible)
        model.logits(hidden).sum().backward()  # type: ignore[no-untyped-call]
    expected = arithmetic.training_flops(TINY, 320, length, checkpointing=checkpointing) * rows * length
    assert counter.get_total_flops() == pytest.approx(expected)


def test_adapter_weights_are_those_of_peft() -> None:
    config = LlamaConfig(
        hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=1, vocab_size=320,
    )  # fmt: skip
    model = get_peft_model(LlamaForCausalLM(config), LoraConfig(r=4, target_modules="all-linear"))
    trainable, _ = model.get_nb_trainable_parameters()
    assert arithmetic.lora_parameters(WIDE, 4) == trainable


def test_adapters_need_less_work_than_full_training_and_more_than_a_forward_pass() -> None:
    forward = arithmetic.forward_flops(TINY, 320, 64)
    lora = arithmetic.lora_flops(TINY, 320, 64, arithmetic.lora_parameters(TINY, 2))
    assert 2 * forward < lora < arithmetic.training_flops(TINY, 320, 64)
