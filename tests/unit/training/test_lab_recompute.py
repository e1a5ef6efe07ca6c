"""Activation checkpointing changes what is kept, never what is learned."""

from __future__ import annotations

import pytest
import torch

from tests.fixtures.tiny_training import TINY
from training.loop import next_token_loss, take_step
from training.model import Llama
from training.optim import FlatAdamW, OptimizerConfig
from training.packing import Batch, Group, PackedData

pytestmark = pytest.mark.unit


def batch_of_rows() -> Batch:
    ids = torch.randint(6, 320, (3, 41), generator=torch.Generator().manual_seed(4)).int().numpy()
    groups = [Group(ids[0][:0], (row,), (str(i),)) for i, row in enumerate(ids)]
    data = PackedData(groups, row_tokens=40, answers_per_prompt=1, seed=1)
    return data.batch(data.epoch(0))


def train(recompute: bool, dropout: float) -> tuple[list[float], torch.Tensor]:
    torch.manual_seed(0)
    model = Llama(TINY, 320, dropout)
    model.recompute = recompute
    optimizer = FlatAdamW(model, OptimizerConfig(lr=0.01), torch.float32)
    losses = [take_step(model, next_token_loss, optimizer, [batch_of_rows()] * 2, 0.01)[0] for _ in range(4)]
    return losses, optimizer.master


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_losses_and_weights_are_the_same_bit_for_bit(dropout: float) -> None:
    kept, recomputed = train(False, dropout), train(True, dropout)
    assert kept[0] == recomputed[0]
    assert torch.equal(kept[1], recomputed[1])


def test_less_is_kept_for_the_backward_pass() -> None:
    saved = {}
    for recompute in (False, True):
        model = Llama(TINY, 320)
        model.recompute = recompute
        sizes: list[int] = []

        def note(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            next_token_loss(model, batch_of_rows())
        saved[recompute] = sum(sizes)
    assert saved[True] < saved[False] / 2
