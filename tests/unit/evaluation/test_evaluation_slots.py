"""The slot matcher on sentences written for these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import ConfigError
from evaluation.slots.attributes import Attribute, parse_attributes
from evaluation.slots.lexicon import load_lexicon
from evaluation.slots.matcher import SlotMatcher
from evaluation.slots.rate import slot_errors

pytestmark = pytest.mark.unit


def errors(asked: str, text: str, others: str = "") -> list[str]:
    attributes = parse_attributes(asked)
    found = SlotMatcher([attributes, parse_attributes(others)]).errors(attributes, text)
    return [f"{e.kind} {e.slot}" for e in found]


def test_attribute_lists_with_and_without_an_instruction() -> None:
    expected = [
        Attribute("name", "The Old Oak"),
        Attribute("customer rating", "5 out of 5"),
        Attribute("near", "Dock 9"),
    ]
    listed = "name[The Old Oak], customer rating[5 out of 5], near[Dock 9]"
    assert parse_attributes(listed) == expected
    assert parse_attributes(f"Describe this place in one sentence: {listed}") == expected
    assert parse_attributes(listed.replace("customer rating", "customerRating")) == expected
    assert parse_attributes("Tell me a story.") == []


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        ("priceRange[cheap]", "a low-priced spot"),
        ("priceRange[cheap]", "it is not expensive"),
        ("priceRange[less than £20]", "meals for under 20 pounds"),
        ("priceRange[£20-25]", "dishes cost £20 to £25"),
        ("priceRange[£20-25]", "prices are moderate"),
        ("priceRange[moderate]", "a mid-range place"),
        ("priceRange[more than £30]", "expect to pay over £30"),
        ("priceRange[high]", "the price range is high"),
        ("customer rating[low]", "guests gave it a poor rating"),
        ("customer rating[low]", "it is rated one out of five"),
        ("customer rating[1 out of 5]", "a 1-star place"),
        ("customer rating[average]", "three stars from its customers"),
        ("customer rating[3 out of 5]", "rated 3 out of 5"),
        ("customer rating[5 out of 5]", "highly rated by all"),
        ("customer rating[high]", "it has excellent reviews"),
        ("area[riverside]", "right by the river"),
        ("area[city centre]", "in the heart of the city"),
        ("area[city centre]", "found in the town center"),
        ("familyFriendly[yes]", "children are welcome"),
        ("familyFriendly[yes]", "ideal for the whole family"),
        ("familyFriendly[no]", "not a family-friendly venue"),
        ("familyFriendly[no]", "it doesn't cater for kids"),
        ("familyFriendly[no]", "strictly adults only"),
        ("eatType[pub]", "a lively pub"),
        ("eatType[coffee shop]", "this café"),
        ("eatType[restaurant]", "a small restaurant"),
        ("food[Fast food]", "fast-food all day"),
        ("food[English]", "British cooking"),
        ("food[Thai]", "Thai dishes"),
        ("near[Café Bleu]", "next to Cafe Bleu"),
    ],
)
def test_values_are_recognised_in_other_words(slot: str, text: str) -> None:
    assert errors(f"name[The Old Oak], {slot}", f"The Old Oak: {text}.") == []


@pytest.mark.parametrize(
    ("slot", "text", "expected"),
    [
        ("priceRange[cheap]", "an expensive spot", ["wrong priceRange"]),
        ("priceRange[less than £20]", "dishes at £20-£25", ["wrong priceRange"]),
        ("priceRange[high]", "an inexpensive spot", ["wrong priceRange"]),
        ("familyFriendly[yes]", "no children allowed", ["wrong familyFriendly"]),
        ("familyFriendly[no]", "family friendly", ["wrong familyFriendly"]),
        ("area[riverside]", "in the city centre", ["wrong area"]),
        ("food[French]", "serving Indian food", ["wrong food"]),
        ("customer rating[5 out of 5]", "rated 1 out of 5", ["wrong customer rating"]),
        ("customer rating[high]", "it does not have good reviews", ["wrong customer rating"]),
        ("eatType[pub]", "a coffee shop", ["wrong eatType"]),
        ("eatType[pub]", "a restaurant", ["missing eatType"]),
        ("food[French]", "a fine spot", ["missing food"]),
        ("near[Dock 9]", "a fine spot", ["missing near"]),
        ("near[Dock 9]", "near the Tall Ship", ["wrong near"]),
        ("food[French]", "French food by the river", ["added area"]),
        ("food[French]", "French and Italian food", ["added food"]),
        ("food[French]", "French food near the Tall Ship", ["added near"]),
        ("area[riverside]", "cheap, by the river", ["added priceRange"]),
    ],
)
def test_errors_have_the_right_kind(slot: str, text: str, expected: list[str]) -> None:
    asked = f"name[The Old Oak], {slot}"
    assert errors(asked, f"The Old Oak: {text}.", others="near[Tall Ship]") == expected


def test_price_and_rating_words_do_not_leak_into_each_other() -> None:
    asked = "name[The Old Oak], priceRange[high], customer rating[low]"
    assert errors(asked, "The Old Oak has high prices and low customer ratings.") == []
    assert errors(asked, "With a low rating and a high price range, meet The Old Oak.") == []
    assert errors(asked, "The Old Oak has low prices and high customer ratings.") == [
        "wrong priceRange",
        "wrong customer rating",
    ]


def test_words_inside_names_are_no_values() -> None:
    asked = "name[Italian Corner], eatType[pub], near[Café Bleu]"
    assert errors(asked, "Italian Corner is a pub near Café Bleu.") == []


def test_a_wrong_name_is_wrong_and_an_empty_text_misses_everything() -> None:
    asked = "name[The Old Oak], food[French]"
    assert errors(asked, "The New Elm serves French food.", others="name[The New Elm]") == ["wrong name"]
    assert errors(asked, "") == ["missing name", "missing food"]


def test_the_rate_counts_by_slot() -> None:
    inputs = ["name[Oak], food[French]", "name[Elm], area[riverside], priceRange[cheap]"]
    counted = slot_errors(inputs, ["Oak has Indian food.", "Elm is a cheap family place."])
    assert counted is not None
    measure, details = counted
    # wrong food; missing area; added familyFriendly: 3 errors over 5 slots.
    assert measure.value == pytest.approx(60.0)
    assert (details.missing, details.added, details.wrong, details.slots) == (1, 1, 1, 5)
    assert details.outputs_with_errors == 2
    assert details.by_slot["food"] == {"slots": 1, "missing": 0, "added": 0, "wrong": 1}
    assert slot_errors(["What is food?"], ["x"]) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("food:\n  - {values: [x], phrases: ['(']}", "phrase '('"),
        ("food:\n  - {values: [x], phrases: ['<nope>']}", "no fragment called 'nope'"),
        ("food:\n  - {values: [x], phrase: ['y']}", "did you mean 'phrases'"),
    ],
)
def test_a_broken_lexicon_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "lexicon.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_lexicon(path)
    assert said in str(caught.value)
