"""Packed rows give every answer the loss it would have alone, with little padding, and resume anywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fixtures.tiny_training import tiny_model
from training.loop import next_token_loss
from training.packing import BatchStream, Group, PackedData

pytestmark = pytest.mark.unit


def random_groups(seed: int, count: int, longest: int = 12) -> list[Group]:
    rng = np.random.default_rng(seed)

    def tokens(low: int, high: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return rng.integers(6, 320, int(rng.integers(low, high))).astype(np.int32)

    groups = []
    for index in range(count):
        answers = tuple(tokens(2, longest) for _ in range(int(rng.integers(1, 6))))
        groups.append(Group(tokens(0, longest), answers, tuple(f"{index}-{i}" for i in range(len(answers)))))
    return groups


def alone(group: Group, answer: int) -> Group:
    return Group(group.context, (group.continuations[answer],), (group.ids[answer],))


def test_packed_answers_have_the_loss_that_they_have_alone() -> None:
    groups, model = random_groups(1, 12), tiny_model()
    data = PackedData(groups, row_tokens=64, answers_per_prompt=4, seed=3)
    packed = next_token_loss(model, data.batch(data.epoch(0))).item()
    single = 0.0
    for group in groups:
        for answer in range(len(group.continuations)):
            one = PackedData([alone(group, answer)], row_tokens=64, answers_per_prompt=1, seed=0)
            single += next_token_loss(model, one.batch(one.epoch(0))).item()
    assert packed == pytest.approx(single, rel=1e-5)


def test_an_answer_does_not_see_its_neighbours() -> None:
    groups, model = random_groups(2, 6), tiny_model()
    data = PackedData(groups, row_tokens=64, answers_per_prompt=4, seed=3)
    batch = data.batch(data.epoch(0))
    hidden = model(batch.tokens, batch.positions, batch.visible)
    changed = batch.tokens.clone()
    changed[0, 0] = 5  # the first text of the first row
    after = model(changed, batch.positions, batch.visible)
    touched = (hidden - after).abs().amax(-1) > 1e-7
    assert touched[0].any()
    assert not touched[1:].any()
    assert not touched[0][~batch.visible[0, :, 0]].any()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40), most=st.integers(1, 5))
def test_every_answer_is_in_an_epoch_exactly_once(seed: int, count: int, most: int) -> None:
    groups = random_groups(seed, count)
    data = PackedData(groups, row_tokens=32, answers_per_prompt=most, seed=seed)
    batch = data.batch(data.epoch(1))
    assert sorted(batch.ids) == sorted(identity for group in groups for identity in group.ids)
    assert batch.target_tokens == sum(len(c) - 1 for group in groups for c in group.continuations)


def test_padding_is_below_five_percent() -> None:
    groups = random_groups(4, 2000, longest=60)
    data = PackedData(groups, row_tokens=256, answers_per_prompt=8, seed=1)
    for epoch in range(3):
        batch = data.batch(data.epoch(epoch))
        assert 1 - batch.real_tokens / batch.tokens.numel() < 0.05


def test_a_stream_continues_exactly_where_another_one_stopped() -> None:
    data = PackedData(random_groups(5, 40), row_tokens=32, answers_per_prompt=2, seed=1)
    whole, first = BatchStream(data, 3), BatchStream(data, 3)
    for _ in range(17):  # well into the second epoch
        whole.next(), first.next()
    second = BatchStream(data, 3)
    second.seek(first.epoch, first.row)
    assert first.epoch > 0
    for _ in range(10):
        assert torch.equal(whole.next().tokens, second.next().tokens)


def test_epochs_differ_and_seeds_repeat() -> None:
    groups = random_groups(6, 40)
    data, again = (PackedData(groups, row_tokens=32, answers_per_prompt=2, seed=1) for _ in range(2))
    assert torch.equal(data.batch(data.epoch(0)).tokens, again.batch(again.epoch(0)).tokens)
    assert not torch.equal(data.batch(data.epoch(0)).tokens[:5], data.batch(data.epoch(1)).tokens[:5])


def test_batches_of_a_fixed_height_are_filled_with_empty_rows() -> None:
    data = PackedData(random_groups(7, 3), row_tokens=64, answers_per_prompt=2, seed=1)
    rows = data.epoch(0)
    batch = data.batch(rows, height=len(rows) + 4)
    assert batch.tokens.shape == (len(rows) + 4, 64)
    assert torch.isfinite(next_token_loss(tiny_model(), batch))
