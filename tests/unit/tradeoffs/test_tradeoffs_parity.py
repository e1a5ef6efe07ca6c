"""Parity counts exact answers and tells a logit tie from a real difference."""

from __future__ import annotations

import pytest

from bundle.manifest import GoldenPrompt, Message
from tradeoffs.parity import compare

pytestmark = pytest.mark.unit


def golden(tokens: list[int], gaps: list[float]) -> GoldenPrompt:
    return GoldenPrompt(
        messages=[Message(role="user", content="x")],
        prompt_token_ids=[1],
        expected_token_ids=tokens,
        top_logit_gaps=gaps,
    )


def test_same_ids_are_exact_with_or_without_the_end_token() -> None:
    prompts = [golden([5, 6], [1.0, 1.0, 1.0])] * 2
    result = compare(prompts, [[5, 6], [5, 6, 2]], eos_ids={2})
    assert (result.exact, result.exact_share, result.explained) == (2, 1.0, True)


@pytest.mark.parametrize(("gap", "tie"), [(1e-6, True), (0.3, False)])
def test_the_first_difference_is_judged_by_the_gap_there(gap: float, tie: bool) -> None:
    result = compare([golden([5, 6, 7], [1.0, gap, 1.0])], [[5, 9, 7]], eos_ids={2})
    (difference,) = result.differences
    assert (difference.position, difference.expected, difference.actual) == (1, 6, 9)
    assert (result.exact_share, result.explained) == (0.0, tie)


@pytest.mark.parametrize(("answer", "expected", "actual"), [([5], 6, None), ([5, 6, 7], None, 7)])
def test_too_short_and_too_long_answers_differ(answer: list[int], expected: int, actual: int) -> None:
    (difference,) = compare([golden([5, 6], [1.0, 1.0, 1.0])], [answer], eos_ids={2}).differences
    assert (difference.expected, difference.actual) == (expected, actual)
