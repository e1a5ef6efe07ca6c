"""Splits never share an input, and duplicates go while paraphrases stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.config import DuplicateConfig, SplitConfig
from training.data.duplicates import EXACT, KEEP, NEAR, mark_duplicates
from training.data.splits import DEV, DROPPED, TEST, TRAIN, UNDECLARED, assign_splits

pytestmark = pytest.mark.unit

ROWS = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([UNDECLARED, TRAIN, DEV, TEST])), min_size=1, max_size=80
)


@given(ROWS, st.integers(0, 5), st.floats(0, 0.4), st.floats(0, 0.4))
def test_no_two_splits_share_an_input(
    rows: list[tuple[int, int]], seed: int, dev: float, test: float
) -> None:
    groups = np.array([group for group, _ in rows], dtype=np.int64)
    declared = np.array([split for _, split in rows], dtype=np.int8)
    codes = assign_splits(groups, declared, SplitConfig(dev=dev, test=test), seed).codes
    inputs = [set(groups[codes == code].tolist()) for code in (TRAIN, DEV, TEST)]
    assert not inputs[0] & inputs[1]
    assert not inputs[0] & inputs[2]
    assert not inputs[1] & inputs[2]
    # Only rows that share an input with a split the source brings are dropped, and none of its test rows.
    held_out = set(groups[np.isin(declared, (DEV, TEST))].tolist())
    assert set(groups[codes == DROPPED].tolist()) <= held_out
    assert (codes[declared == TEST] == TEST).all()


def test_shares_are_of_inputs_and_follow_the_seed() -> None:
    groups = np.repeat(np.arange(1000), 3)
    declared = np.full(3000, UNDECLARED, dtype=np.int8)
    config = SplitConfig(dev=0.1, test=0.2)
    first, again, other = (assign_splits(groups, declared, config, seed).codes for seed in (1, 1, 2))
    assert [(first == code).sum() for code in (TRAIN, DEV, TEST)] == [2100, 300, 600]
    assert (first == again).all()
    assert (first != other).any()


def test_a_split_that_the_source_brings_is_not_drawn_again() -> None:
    groups = np.arange(100)
    declared = np.full(100, UNDECLARED, dtype=np.int8)
    declared[:7] = TEST
    codes = assign_splits(groups, declared, SplitConfig(dev=0.1, test=0.1), 1).codes
    assert (codes == TEST).sum() == 7
    assert (codes == DEV).sum() == 9


SENTENCE = "The Copper Heron is a cheap pub by the river that serves Thai food and welcomes families."


@pytest.mark.parametrize(
    ("other", "mark"),
    [
        (SENTENCE, EXACT),
        (SENTENCE.upper(), NEAR),
        (SENTENCE.replace(" that", ", that").replace(".", "!"), NEAR),
        (SENTENCE.replace("serves", "servs"), NEAR),
        ("By the river, The Copper Heron is a pub that serves cheap Thai food and welcomes families.", KEEP),
        (SENTENCE.replace("cheap", "moderately priced"), KEEP),
        ("Families are welcome at The Copper Heron, a Thai pub by the river that is cheap.", KEEP),
    ],
)
def test_repetitions_go_and_paraphrases_stay(other: str, mark: int) -> None:
    assert list(mark_duplicates([(1, SENTENCE), (1, other)], DuplicateConfig())) == [KEEP, mark]


def test_one_sentence_may_answer_two_inputs() -> None:
    assert list(mark_duplicates([(1, SENTENCE), (2, SENTENCE)], DuplicateConfig())) == [KEEP, KEEP]


def test_each_kind_of_duplicate_can_be_kept() -> None:
    rows = [(1, SENTENCE), (1, SENTENCE), (1, SENTENCE.upper())]
    assert list(mark_duplicates(rows, DuplicateConfig(near=False))) == [KEEP, EXACT, KEEP]
    assert list(mark_duplicates(rows, DuplicateConfig(exact=False, near=False))) == [KEEP, KEEP, KEEP]


def test_the_threshold_is_used() -> None:
    rows = [(1, SENTENCE), (1, SENTENCE.replace("cheap", "moderately priced"))]
    assert list(mark_duplicates(rows, DuplicateConfig(threshold=0.6))) == [KEEP, NEAR]
