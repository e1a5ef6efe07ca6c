"""Prompts as they are sent: forms of attribute lists, demonstrations and their order, a short context."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.errors import EvaluationError
from evaluation.prompting.candidates import Candidate
from evaluation.prompting.examples import Example
from evaluation.prompting.render import choose, conversation, fitted, reformat
from evaluation.prompts import Conversation

pytestmark = pytest.mark.unit

EXAMPLE = Example("k", "name[The Mill], food[French], customer rating[5 out of 5]", ("At The Mill.",))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("as-is", "name[The Mill], food[French], customer rating[5 out of 5]"),
        ("colons", "name: The Mill; food: French; customer rating: 5 out of 5"),
        ("equals", "name = The Mill | food = French | customer rating = 5 out of 5"),
        ("lines", "name: The Mill\nfood: French\ncustomer rating: 5 out of 5"),
        ("json", '{"name": "The Mill", "food": "French", "customer rating": "5 out of 5"}'),
    ],
)
def test_attribute_lists_are_written_in_other_forms_and_nothing_else_is(form: Any, expected: str) -> None:
    assert reformat(EXAMPLE.content, form) == expected
    assert reformat(f"Say it.\n{EXAMPLE.content}", form) == f"Say it.\n{expected}"
    assert reformat("A text [with brackets], no list.", form) == "A text [with brackets], no list."


def test_a_candidate_becomes_turns_or_text_in_its_order() -> None:
    pool = [Example(str(i), f"in {i}", (f"out {i}", "other")) for i in range(2)]
    made = conversation(Candidate(instruction="Do.", separator=" ", demonstrations=2), EXAMPLE, pool)
    assert [message["role"] for message in made] == ["user", "assistant", "user", "assistant", "user"]
    assert [message["content"] for message in made[:2]] == ["Do. in 0", "out 0"]
    assert made[-1]["content"] == f"Do. {EXAMPLE.content}"
    wrapped = Candidate(instruction="{input}\nNow.", demonstrations=2, layout="text", order="reversed")
    (message,) = conversation(wrapped, EXAMPLE, pool)
    assert message["content"] == (
        f"Input: in 1\nOutput: out 1\n\nInput: in 0\nOutput: out 0\n\nInput: {EXAMPLE.content}\nOutput:\nNow."
    )
    assert conversation(Candidate(), EXAMPLE, [])[0]["content"] == EXAMPLE.content


def test_the_nearest_demonstrations_come_last_and_go_last_where_the_context_is_short() -> None:
    pool = [
        Example(text, text, (text,)) for text in ("red fox", "food[Thai] red", "food[French] name[The Mill]")
    ]
    near = Candidate(demonstrations=2, choice="nearest")
    assert [e.key for e in choose(near, EXAMPLE, pool, 1)] == [
        "food[Thai] red",
        "food[French] name[The Mill]",
    ]

    def count(messages: Conversation) -> int:
        return len(messages)

    whole = fitted(near, EXAMPLE, pool, 1, count, None)
    cut = fitted(near, EXAMPLE, pool, 1, count, 4)
    assert (whole.demonstrations, whole.is_cut, cut.demonstrations, cut.is_cut) == (2, False, 1, True)
    assert cut.conversation[0]["content"] == "food[French] name[The Mill]"
    with pytest.raises(EvaluationError, match="shorten the instruction 'Say'"):
        fitted(Candidate(instruction="Say"), EXAMPLE, pool, 1, count, 0)


def test_random_demonstrations_are_the_same_for_all_inputs_and_differ_between_draws() -> None:
    pool = [Example(str(i), str(i), (str(i),)) for i in range(50)]
    first, second = (Candidate(demonstrations=4, draw=draw) for draw in (0, 1))
    assert choose(first, EXAMPLE, pool, 1) == choose(first, pool[3], pool, 1)
    assert choose(first, EXAMPLE, pool, 1) != choose(second, EXAMPLE, pool, 1)
    assert choose(first, EXAMPLE, pool, 1) != choose(first, EXAMPLE, pool, 2)
