"""The built-in corpus: the same by seed, complete, varied, and correct in small grammar."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from training.data.attributes import find_attributes, parse_attributes
from training.data.config import DataConfig, GeneratorConfig
from training.data.generator import generate
from training.data.generator.venues import ATTRIBUTES, VALUES
from training.data.records import DATA_TO_TEXT, Record

pytestmark = pytest.mark.unit


def corpus(pairs: int = 4_000, seed: int = 1, **settings: object) -> list[Record]:
    generator = GeneratorConfig.from_dict({"pairs": pairs, **settings}, "test")
    return list(generate(DataConfig(name="t", seed=seed, generator=generator)))


CORPUS = corpus()
DESCRIPTIONS = [record for record in CORPUS if record.task == DATA_TO_TEXT]


def facts_of(record: Record) -> dict[str, str]:
    attributes = find_attributes(record.prompt[0]["content"])
    assert attributes is not None
    return attributes


def test_the_default_is_large_enough() -> None:
    assert DataConfig(name="t").generator.pairs >= 20_000


def test_the_seed_fixes_the_corpus_and_a_longer_one_begins_with_it() -> None:
    assert corpus(300) == CORPUS[:300]
    assert corpus(300, seed=2) != CORPUS[:300]


def test_every_name_and_landmark_is_in_the_text() -> None:
    for record in DESCRIPTIONS:
        facts = facts_of(record)
        assert record.answer is not None
        for key in ("name", "near"):
            assert facts.get(key, "") in record.answer
            assert record.answer.count(facts.get(key, "\0")) <= 3


# A word that only texts with this value may hold, and one of which they must hold.
TELLING = {
    ("food", "Thai"): r"\bThai\b",
    ("food", "Fast food"): r"\b[Ff]ast food\b",
    ("area", "harbour"): r"\bharbour\b",
    ("area", "riverside"): r"\briver(side)?\b",
    ("priceRange", "more than £30"): r"£30",
    ("priceRange", "£20-25"): r"£25|£20-25",
    ("customer rating", "3 out of 5"): r"3 out of 5|three[- ]star",
    ("customer rating", "average"): r"\baverage\b",
    ("familyFriendly", "no"): r"\b(not|adults)\b",
    ("eatType", "tea room"): r"\btea room\b",
}


@pytest.mark.parametrize(("key", "value"), TELLING)
def test_a_value_is_said_where_it_is_given_and_nowhere_else(key: str, value: str) -> None:
    pattern = re.compile(TELLING[key, value])
    said = Counter(
        (facts_of(record).get(key) == value, bool(pattern.search(_without_names(record))))
        for record in DESCRIPTIONS
    )
    assert said[True, True] > 20
    assert said[True, False] == 0
    if (key, value) != ("familyFriendly", "no"):  # "not far from" and "not well rated" hold the word too
        assert said[False, True] == 0


def _without_names(record: Record) -> str:
    text = record.answer or ""
    for key in ("name", "near"):
        text = text.replace(facts_of(record).get(key, "\0"), "")
    return text


def test_sentences_are_well_formed() -> None:
    for record in DESCRIPTIONS:
        text = record.answer or ""
        assert text[0].isupper() or text[0] in "ÉÓ", text
        assert text[-1] in ".?!", text
        assert not re.search(r" [,.]|  |\.\.|,,|\{|\}|\b([a-z]+) \1\b", text), text
        assert not re.search(r"\b[Aa] (?!one\b)[aeiou]|\b[Aa]n [^aeiouAEIOU]|\b[Aa]n one\b", text), text


def test_subsets_of_every_size_and_every_value_occur() -> None:
    facts = [facts_of(record) for record in DESCRIPTIONS]
    assert {len(f) for f in facts} == set(range(1, 9))
    assert {key for f in facts for key in f} == set(ATTRIBUTES)
    for key in set(ATTRIBUTES) - {"name"}:
        assert {f[key] for f in facts if key in f} == set(VALUES[key])


def test_inputs_have_several_different_references() -> None:
    references: dict[str, list[str]] = defaultdict(list)
    for record in DESCRIPTIONS[:-8]:
        references[record.prompt[0]["content"]].append(record.answer or "")
    counts = [len(texts) for texts in references.values()]
    assert max(counts) <= 8
    assert sum(count >= 3 for count in counts) / len(counts) > 0.98
    assert all(len(set(texts)) == len(texts) for texts in references.values())


def test_wording_and_prompts_vary() -> None:
    masked = Counter(_without_names(record) for record in DESCRIPTIONS)
    assert len(masked) > 0.8 * len(DESCRIPTIONS)
    instructed = [r for r in DESCRIPTIONS if "\n" in r.prompt[0]["content"]]
    assert 0.25 < len(instructed) / len(DESCRIPTIONS) < 0.45
    assert len({r.prompt[0]["content"].partition("\n")[0] for r in instructed}) > 12


def test_one_sentence_is_one_sentence_where_it_is_asked_for() -> None:
    asked = [r for r in DESCRIPTIONS if re.search(r"(?i)(one|single)[- ]sentence", r.prompt[0]["content"])]
    assert len(asked) > 50
    for record in asked:
        text = (record.answer or "").replace("St Brannoc's", "")
        assert len(re.findall(r"[.?!](?= |$)", text)) == 1, text


def test_answers_of_the_other_tasks_follow_from_their_texts() -> None:
    others = [record for record in CORPUS if record.task != DATA_TO_TEXT]
    assert {r.task for r in others} == {"extract-attributes", "family-question", "fact-question", "shorten"}
    assert 0.1 < len(others) / len(CORPUS) < 0.2
    for record in others:
        answer = record.answer or ""
        if record.task == "extract-attributes":
            assert parse_attributes(answer).get("name", "") in record.prompt[0]["content"]
        if record.task == "family-question":
            assert answer in ("yes", "no", "not stated")


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_the_share_of_other_tasks_goes_from_none_to_all(share: float) -> None:
    records = corpus(300, other_tasks=share)
    assert len(records) == 300
    others = sum(record.task != DATA_TO_TEXT for record in records)
    assert others / 300 == pytest.approx(share, abs=0.02)


def test_whole_combinations_can_be_held_out() -> None:
    records = corpus(3_000, unseen_combinations=True)
    combinations: dict[str | None, set[frozenset[str]]] = defaultdict(set)
    for record in records:
        if record.task == DATA_TO_TEXT:
            combinations[record.split].add(frozenset(facts_of(record)))
    assert set(combinations) == {"train", "dev", "test"}
    assert not combinations["train"] & (combinations["dev"] | combinations["test"])
    assert not combinations["dev"] & combinations["test"]
