"""Attribute lists: what is written is read back, and order does not matter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.attributes import (
    AttributeSyntaxError,
    canonical_input,
    find_attributes,
    format_attributes,
    parse_attributes,
)

pytestmark = pytest.mark.unit

KEYS = st.from_regex(r"[A-Za-z]([A-Za-z0-9 _-]{0,12}[A-Za-z0-9_-])?", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="[]", exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda value: value == value.strip() and value != ""
)
LISTS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=9)


@given(LISTS)
def test_a_written_list_is_read_back(attributes: dict[str, str]) -> None:
    assert parse_attributes(format_attributes(attributes)) == attributes


@given(LISTS, st.randoms())
def test_the_order_of_attributes_does_not_make_another_input(attributes: dict[str, str], rng: object) -> None:
    items = list(attributes.items())
    rng.shuffle(items)  # type: ignore[attr-defined]
    assert canonical_input(format_attributes(dict(items))) == canonical_input(format_attributes(attributes))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name[The Vaults, eatType", "broken attribute syntax"),
        ("name[The Vaults], eatType", "broken attribute syntax"),
        ("name[The Vaults] eatType[pub]", "broken attribute syntax"),
        ("name[The [old] Vaults]", "broken attribute syntax"),
        ("name[A], ", "broken attribute syntax"),
        ("just a sentence", "broken attribute syntax"),
        ("", "broken attribute syntax"),
        ("name[]", "empty attribute value"),
        ("name[A], name[B]", "duplicate attribute"),
    ],
)
def test_a_broken_list_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(AttributeSyntaxError) as caught:
        parse_attributes(text)
    assert caught.value.reason == reason


def test_a_list_is_found_behind_an_instruction() -> None:
    assert find_attributes("Describe this.\nname[A], food[Thai]") == {"name": "A", "food": "Thai"}
    assert find_attributes("Who wrote [1]?") is None


def test_punctuation_and_case_do_not_make_another_text() -> None:
    assert canonical_input("Hello, World!") == canonical_input("hello  world")
    assert canonical_input("?!") == "?!"
