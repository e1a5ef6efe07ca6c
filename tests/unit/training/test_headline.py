"""The headline room: swapped values, clean texts, the hard split, answers chosen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.errors import ConfigError, TriviumError
from tests.fixtures.tiny_training import TINY, tiny_model, write_data, write_tokenizer
from training.examples import ChatTokenizer
from training.generate import generate_greedy
from training.headline.answer import Answered, choose, closest
from training.headline.augment import augment
from training.headline.beam import BeamSearch, n_best
from training.headline.best import BestConfig, run_best, stages
from training.headline.clean import clean
from training.headline.cli import CONFIG
from training.headline.hard_split import split
from training.headline.invent import invented
from training.headline.mirror import mirror
from training.headline.pairs import Pairs, PairsError, read_pairs
from training.headline.select import select
from training.headline.swap import ValueSwapper, replace
from training.headline.teach import teach
from training.headline.told import told_kinds, told_unasked
from training.layout import load_model, save_model

pytestmark = pytest.mark.unit

SWAPPER = ValueSwapper(
    {"name": ["Old Inn", "Salt", "The Tin Roof"], "near": ["Pier"], "eatType": ["coffee shop", "pub"]}
)


def row(prompt: str, text: str) -> dict[str, object]:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]
    return {"id": text, "task": "data-to-text", "messages": messages}


@pytest.mark.parametrize(
    ("old", "new", "text", "expected"),
    [
        ("Salt", "The Tin Roof", "At Salt, salty Salt.", "At The Tin Roof, salty The Tin Roof."),
        ("coffee shop", "pub", "A Coffee-Shop by the sea.", "A pub by the sea."),
    ],
)
def test_a_value_is_replaced_word_for_word(old: str, new: str, text: str, expected: str) -> None:
    assert replace(text, old, new) == expected


@pytest.mark.parametrize("text", ["Nothing of it here.", "A pub and a coffee shop."])
def test_a_text_without_the_value_or_with_the_new_one_is_left_out(text: str) -> None:
    assert replace(text, "coffee shop", "pub") is None


def test_input_and_texts_change_together() -> None:
    pairs = Pairs(
        {"name": "Old Inn", "food": "Greek"}, ("The Old Inn is Greek.", "Try Greek food at Old Inn.")
    )
    swapped = SWAPPER.swap(pairs, np.random.default_rng(3))
    assert swapped is not None
    for text in swapped.texts:
        assert swapped.attributes["name"] in text
        assert "Old Inn" not in text
        assert "Greek" in text, "a cuisine stays"
    assert swapped.attributes["name"] != "Old Inn"


def test_a_kind_that_is_told_unasked_is_not_swapped() -> None:
    pub, shop, inn = (
        Pairs({"name": "Salt", "eatType": kind}, (f"Salt is a {kind}.",))
        for kind in ("pub", "coffee shop", "inn")
    )
    told = [Pairs({"name": "Pier", "eatType": "inn"}, ("The inn Pier.", "Pier is an inn."))]
    fixed = told_unasked([pub, shop, inn], [*told, pub])
    assert fixed == {"inn"}, "of pubs as many texts tell asked"
    swapper, rng = ValueSwapper.of([pub, shop, inn], fixed), np.random.default_rng(1)
    assert swapper.swap(pub, rng) in (
        pub,
        Pairs({"name": "Salt", "eatType": "coffee shop"}, ("Salt is a coffee shop.",)),
    )
    assert swapper.swap(inn, rng) == inn


def test_texts_that_miss_a_slot_are_left_out() -> None:
    pairs = Pairs({"name": "Salt", "food": "Italian"}, ("Salt serves Italian food.", "Salt is a nice place."))
    assert clean([pairs])[0].texts == ("Salt serves Italian food.",)


def test_an_input_without_a_clean_text_keeps_its_best_ones() -> None:
    pairs = Pairs({"name": "Salt", "food": "Italian"}, ("Salt is nice.", "A nice place."))
    assert clean([pairs])[0].texts == ("Salt is nice.",)


def test_a_kind_that_texts_tell_unasked_is_asked_for_in_a_new_input() -> None:
    plain = Pairs(
        {"name": "Salt", "food": "Greek"},
        ("Salt is a Greek pub.", "Salt is Greek.", "A pub and coffee shop.", "Greek food: the pub Salt!"),
        "Say:\n",
    )
    others = [
        Pairs({"name": "A", "eatType": kind, "food": "Thai"}, ("A.",)) for kind in ("pub", "coffee shop")
    ]
    assert told_kinds([plain, *others]) == [
        Pairs(
            {"name": "Salt", "eatType": "pub", "food": "Greek"},
            ("Salt is a Greek pub.", "Greek food: the pub Salt!"),
            "Say:\n",
        )
    ]
    (told,) = told_kinds([plain, *others])
    assert list(told.attributes) == ["name", "eatType", "food"], "the usual order"


def inputs(kind: str | None, size: int, count: int) -> list[Pairs]:
    extra = {"food": "Greek", "area": "riverside", "priceRange": "cheap", "familyFriendly": "yes"}
    rest = dict(list(extra.items())[: size - 1 - bool(kind)])
    kinds = {"eatType": kind} if kind else {}
    return [Pairs({"name": f"N{i}", **kinds, **rest}, (f"N{i}.",)) for i in range(count)]


def test_the_hard_split_holds_out_the_longest_inputs_of_each_kind() -> None:
    groups = [*inputs("pub", 3, 4), *inputs("pub", 4, 3), *inputs("coffee shop", 6, 4), *inputs(None, 5, 2)]
    train, hard = split(groups)
    assert sorted((p.attributes["eatType"], len(p.attributes)) for p in hard) == [
        *[("coffee shop", 6)] * 2, *[("pub", 4)] * 3
    ]  # fmt: skip
    assert len(train) + len(hard) == len(groups)
    assert not {p.key for p in train} & {p.key for p in hard}


def test_the_mirror_split_asks_for_a_kind_at_a_length_that_training_has_for_others_only() -> None:
    long = Pairs({"name": "A", "eatType": "pub", "food": "Greek", "area": "riverside"}, ("A is a pub.", "A."))
    short, other = (
        Pairs({"name": "B", "eatType": "pub"}, ("B.",)),
        Pairs({"name": "C", "eatType": "inn"}, ("C.",)),
    )
    train, dev = mirror([long, short, other], [long, short])
    assert train == [Pairs({**long.attributes, "eatType": "inn"}, ("A is a inn.",)), short, other]
    assert dev == [long]


@pytest.mark.parametrize("groups", [inputs(None, 3, 2), inputs("pub", 3, 2)])
def test_a_set_without_two_kinds_has_no_mirror(groups: list[Pairs]) -> None:
    with pytest.raises(PairsError, match="eatType"):
        mirror(groups, groups)


def test_a_set_without_kinds_cannot_be_split() -> None:
    with pytest.raises(PairsError, match="eatType"):
        split(inputs(None, 3, 2))


def data_set(folder: Path) -> Path:
    foods = ("Italian", "Welsh")
    rows = [
        row(f"name[N{i}], eatType[pub], food[{food}]", f"N{i} is a pub with {food} food.")
        for i, food in enumerate(foods * 3)
    ]
    write_data(folder, rows, rows[:1])
    (folder / "card.json").write_text(json.dumps({"name": "x", "digest": "sha256:0", "rows": {"dev": 1}}))
    return folder


def test_an_augmented_set_is_a_data_set_again(tmp_path: Path) -> None:
    said = augment(data_set(tmp_path / "a"), tmp_path / "b", copies=2, seed=1)
    groups = read_pairs(tmp_path / "b" / "train.jsonl")
    card = json.loads((tmp_path / "b" / "card.json").read_text())
    assert card["rows"] == {"dev": 1, "train": sum(len(p.texts) for p in groups)}
    assert card["made_from"] == "sha256:0"
    assert card["digest"] != "sha256:0"
    assert len(groups) > 6
    assert f"{card['rows']['train']} rows" in said


@pytest.mark.parametrize("keep_errors", [False, True])
def test_inputs_are_corrected_unless_errors_are_kept(tmp_path: Path, keep_errors: bool) -> None:
    rows = [
        row("name[Salt], food[Greek]", "Salt is a pub with Greek food."),
        row("name[Salt], food[Greek]", "Salt is a pub."),
        row("name[Pier], eatType[pub], area[riverside]", "Pier is a pub by the river."),
    ]
    data = write_data(tmp_path / "a", rows, rows[:1])
    (data / "card.json").write_text(json.dumps({"name": "x", "rows": {}}))
    augment(data, tmp_path / "b", copies=0, seed=1, keep_errors=keep_errors)
    made = {p.prompt: p.texts for p in read_pairs(tmp_path / "b" / "train.jsonl")}
    greek, bare = rows[0]["id"], rows[1]["id"]
    assert made["name[Salt], food[Greek]"] == ((greek, bare) if keep_errors else (greek,))
    assert made.get("name[Salt], eatType[pub], food[Greek]") == (None if keep_errors else (greek,))


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    data = data_set(tmp_path / "a")
    for name in ("b", "c"):
        augment(data, tmp_path / name, copies=2, seed=7)
    b, c = ((tmp_path / name / "train.jsonl").read_bytes() for name in ("b", "c"))
    assert b == c


def test_data_without_attribute_lists_is_refused(tmp_path: Path) -> None:
    data = write_data(tmp_path / "a", [row("hello", "hi")])
    with pytest.raises(PairsError, match="attribute list"):
        augment(data, tmp_path / "b", copies=1, seed=1)
    assert not (tmp_path / "b").exists()


def test_the_first_candidate_with_fewest_slot_errors_is_chosen() -> None:
    inputs = ["name[Salt], food[Italian]", "name[Pier]"]
    candidates = [
        ["Salt is nice.", "Salt has Italian food.", "Italian food at Salt."], ["A place.", "A pier of sorts."]
    ]  # fmt: skip
    made = choose(inputs, candidates)
    assert made.texts == ["Salt has Italian food.", "A pier of sorts."]
    assert made.first == ["Salt is nice.", "A place."]
    assert (made.errors_first, made.errors, made.slots) == (2, 0, 3)


def test_with_references_the_closest_of_those_with_fewest_slot_errors_is_chosen() -> None:
    candidates = [["Salt has Italian food.", "Salt is nice, I say.", "At Salt you get Italian food."]]
    references = [("At Salt you eat Italian food.", "Salt is nice, I say.")]
    made = choose(["name[Salt], food[Italian]"], candidates, lambda i, texts: closest(texts, references[i]))
    assert made.texts == ["At Salt you get Italian food."]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random model in the Hugging Face layout, and the data set of its tokenizer."""
    folder = tmp_path_factory.mktemp("headline")
    data = data_set(folder / "data")
    tokenizer = ChatTokenizer(write_tokenizer(data, folder / "tokenizer"))
    weights = tiny_model(vocabulary=tokenizer.vocabulary).state_dict()
    save_model(folder / "model", weights, TINY, tokenizer.folder, tokenizer.special)
    return folder / "model", data


def test_a_beam_finds_an_answer_at_least_as_likely_as_greedy(model: tuple[Path, Path]) -> None:
    folder, _ = model
    inputs = ["name[N1], food[Italian]", "name[N2]"]
    wide = n_best(folder, inputs, BeamSearch(beams=3, length_penalty=0.0, max_new_tokens=8))
    assert [len(texts) for texts in wide] == [3, 3]
    local = load_model(folder)
    tokenizer = ChatTokenizer(folder)
    prompts = [ids.tolist() for ids in tokenizer.encode([tokenizer.prompt(user(t)) for t in inputs])]
    greedy = generate_greedy(local, prompts, tokenizer.special["eos"], 8)
    narrow = n_best(folder, inputs, BeamSearch(beams=1, max_new_tokens=8))
    assert [texts[0] for texts in narrow] == [tokenizer.decode(ids) for ids in greedy]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_invented_inputs_are_new_longer_and_of_known_values_in_the_usual_order() -> None:
    rng = np.random.default_rng(3)
    slots = {"name": ["A", "B", "C"], "eatType": ["pub", "café"], "food": ["Thai", "Welsh"], "near": ["D"]}
    drawn = [{slot: str(rng.choice(v)) for slot, v in slots.items() if rng.random() < 0.5} for _ in range(20)]
    groups = [Pairs(attributes, ("text",), "Say:\n") for attributes in drawn if attributes]
    made = invented(groups, 10, seed=1)
    assert len({pairs.key for pairs in made} - {pairs.key for pairs in groups}) == len(made) == 10
    mean = [np.mean([len(pairs.attributes) for pairs in of]) for of in (groups, made)]
    assert mean[1] > mean[0]
    for pairs in made:
        assert pairs.instruction == "Say:\n"
        assert list(pairs.attributes) == [slot for slot in slots if slot in pairs.attributes]
        assert all(value in slots[slot] for slot, value in pairs.attributes.items())


def test_no_more_inputs_are_invented_than_there_can_be() -> None:
    assert invented([Pairs({"name": "A", "eatType": "pub"}, ("text",))], 5, seed=1) == []


def test_the_model_with_the_fewest_slot_errors_is_selected(
    model: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = model
    worse = tmp_path / "worse"
    shutil.copytree(folder, worse)

    def answer(tried: Path, inputs: list[str], search: BeamSearch) -> Answered:
        return Answered([], [], [], [3 if tried == worse else 2], 9)

    monkeypatch.setattr("training.headline.select.answer", answer)
    select(data, [worse, folder], tmp_path / "student", 3, 1)
    record = json.loads((tmp_path / "student" / "selection.json").read_text())
    assert record["errors"] == {str(worse): 3, str(folder): 2}
    assert record["model"] == str(folder)
    load_model(tmp_path / "student" / "model")


def test_the_beam_teaches_a_data_set(model: tuple[Path, Path], tmp_path: Path) -> None:
    folder, data = model
    teach(data, [folder, folder], tmp_path / "taught", 4, 1, BeamSearch(beams=2, max_new_tokens=6))
    groups = read_pairs(tmp_path / "taught" / "train.jsonl")
    assert len(groups) == 4
    assert all(len(pairs.texts) == 1 for pairs in groups)
    assert (tmp_path / "taught" / "references-dev.jsonl").exists() == (data / "references-dev.jsonl").exists()


def test_the_shipped_configuration_is_a_chain_of_commands() -> None:
    config = BestConfig.from_yaml(CONFIG)
    names = [stage.name for stage in stages(config)]
    assert (
        names.index("augment")
        < names.index("sft-1")
        < names.index("select")
        < names.index("polish")
        < names.index("answer testset-outputs")
        < names.index("sign")
    )
    assert all(stage.command[1] == "-m" for stage in stages(config))


def test_a_misspelt_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="copies"):
        BestConfig.from_yaml(CONFIG, ["copeis=3"])


def test_missing_data_is_one_clear_line(tmp_path: Path) -> None:
    from rich.console import Console

    config = BestConfig.from_yaml(CONFIG, [f"source={tmp_path / 'nowhere'}"])
    with pytest.raises(TriviumError, match="nowhere"):
        run_best(config, Console())
