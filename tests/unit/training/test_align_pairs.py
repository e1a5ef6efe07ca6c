"""Preference data: readers, bad rows, and the split that keeps an input on one side."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from training.alignment.errors import AlignmentError
from training.alignment.make_pairs import pairs_of
from training.alignment.readers import read_source
from training.alignment.records import (
    BadRow,
    Collected,
    Message,
    Pair,
    collect,
    read_pairs,
    split_by_input,
    write_chats,
    write_pairs,
)
from training.alignment.tasks import TaskInput

pytestmark = pytest.mark.unit

TALK = "\n\nHuman: Is the ferry late?\n\nAssistant: Which ferry?\n\nHuman: The one at noon.\n\nAssistant:"


def lines(path: Path, rows: list[Any]) -> Path:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def made(number: int, question: str) -> Pair:
    messages = [Message(role="user", content=question)]
    return Pair(id=str(number), messages=messages, chosen=f"yes {number}", rejected="no", source="test")


def test_transcripts_share_all_turns_but_the_last(tmp_path: Path) -> None:
    row = {"chosen": f"{TALK} Ten minutes, it says.", "rejected": f"{TALK} Who cares?"}
    (pair,) = read_source(lines(tmp_path / "talk.jsonl.gz", [row]))
    assert isinstance(pair, Pair)
    assert [message.role for message in pair.messages] == ["user", "assistant", "user"]
    assert pair.messages[-1].content == "The one at noon."
    assert (pair.chosen, pair.rejected) == ("Ten minutes, it says.", "Who cares?")
    assert pair.source == "talk.jsonl.gz:1"


def test_instructions_join_with_their_input(tmp_path: Path) -> None:
    path = tmp_path / "instructions.json"
    row = {"instruction": "Add.", "input": "2, 3", "output": "5", "chosen": "It is 5.", "rejected": "5!!"}
    path.write_text(json.dumps([row, {**row, "input": ""}]))
    pairs = list(read_source(path))
    assert [pair.messages[0].content for pair in pairs if isinstance(pair, Pair)] == ["Add.\n2, 3", "Add."]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{broken", "not a JSON object"),
        ([1, 2], "not a JSON object"),
        ({"chosen": "x"}, "chosen or rejected is missing"),
        ({"chosen": "hello", "rejected": "there"}, "does not start with a turn"),
        ({"chosen": f"{TALK} a\n\nHuman: b", "rejected": f"{TALK} c\n\nHuman: b"}, "does not end with an"),
        ({"chosen": f"{TALK} a", "rejected": f"{TALK.replace('noon', 'one')} b"}, "differ before the last"),
        ({"chosen": f"{TALK} a", "rejected": f"{TALK}   "}, "empty answer"),
        ({"chosen": f"{TALK} a", "rejected": f"{TALK} a "}, "both answers are the same"),
        ({"chosen": "\n\nHuman: a\n\nHuman: b\n\nAssistant: c", "rejected": f"{TALK} x"}, "do not alternate"),
        ({"prompt": " ", "chosen": "a", "rejected": "b"}, "no user turn"),
        ({"messages": [{"role": "user"}], "chosen": "a", "rejected": "b"}, "not role and content"),
        ({"instruction": 5, "chosen": "a", "rejected": "b"}, "the prompt is no text"),
    ],
)
def test_bad_rows_name_their_reason(tmp_path: Path, row: Any, reason: str) -> None:
    good = {"prompt": "Q", "chosen": "a", "rejected": "b"}
    bad, pair = read_source(lines(tmp_path / "rows.jsonl", [row, good]))
    assert isinstance(bad, BadRow)
    assert reason in bad.reason
    assert bad.where == "rows.jsonl:1"
    assert isinstance(pair, Pair)


def test_a_folder_is_read_file_by_file_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    row = {"prompt": "Q", "chosen": "a", "rejected": "b"}
    for name in ("b.jsonl", "a.jsonl.gz"):
        lines(tmp_path / name, [row])
    assert [pair.source for pair in read_source(tmp_path) if isinstance(pair, Pair)] == [
        "a.jsonl.gz:1",
        "b.jsonl:1",
    ]
    (tmp_path / "c.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(AlignmentError, match=r"c\.jsonl\.gz: cannot be read"):
        list(read_source(tmp_path))


def test_chosen_answers_become_conversations_to_fine_tune_on(tmp_path: Path) -> None:
    write_chats(tmp_path / "chats.jsonl", [made(1, "Q1"), made(2, "Q2")])
    rows = [json.loads(line) for line in (tmp_path / "chats.jsonl").read_text().splitlines()]
    assert [turn["content"] for row in rows for turn in row["messages"]] == ["Q1", "yes 1", "Q2", "yes 2"]


def test_duplicates_are_bad_rows() -> None:
    found = collect([made(1, "Q"), made(1, "Q"), BadRow("x:3", "empty answer")])
    assert len(found.pairs) == 1
    assert found.reasons() == {"duplicate": 1, "empty answer": 1}


def test_an_input_is_on_one_side_only_and_the_split_is_stable() -> None:
    pairs = [made(number, f"Q{number % 20}") for number in range(60)]
    train, dev = split_by_input(pairs, 0.2, 1, "here")
    assert {p.key for p in train}.isdisjoint(p.key for p in dev)
    assert (len(train), len(dev)) == (48, 12)
    assert split_by_input(pairs, 0.2, 1, "here") == (train, dev)
    assert split_by_input(pairs, 0.2, 2, "here") != (train, dev)


@pytest.mark.parametrize(
    ("pairs", "text"),
    [([], "no pairs"), ([made(1, "Q")], "1 pair"), ([made(1, "Q"), made(2, "Q")], "2 pair")],
)
def test_too_little_to_hold_something_out_is_refused(tmp_path: Path, pairs: list[Pair], text: str) -> None:
    with pytest.raises(AlignmentError, match=text):
        write_pairs(tmp_path, Collected(pairs), 0.1, 1, {})
    assert not list(tmp_path.iterdir())


def test_where_nothing_is_left_the_reasons_are_named(tmp_path: Path) -> None:
    same = [BadRow(f"f:{number}", "both answers are the same") for number in (1, 2)]
    with pytest.raises(AlignmentError, match=r"no pairs \(2 rows: both answers are the same\)"):
        write_pairs(tmp_path, Collected([], same), 0.1, 1, {})


def test_a_folder_of_pairs_comes_back_as_it_was(tmp_path: Path) -> None:
    odd = made(3, "Q3").model_copy(update={"chosen": "line\u2028separator £", "margin": 0.25})
    write_pairs(tmp_path, Collected([made(1, "Q1"), odd], [BadRow("f:2", "why")]), 0.1, 1, {"made": "here"})
    pairs = read_pairs(tmp_path / "train.jsonl") + read_pairs(tmp_path / "dev.jsonl")
    assert sorted(pairs, key=lambda pair: pair.id) == [made(1, "Q1"), odd]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["pairs"] == {"train": 1, "dev": 1}
    assert report["bad_rows"] == {"why": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "holds no pairs"), ("{}\n", r"train\.jsonl:1: not a pair: id"), ("oops\n", "train.jsonl:1: not a")],
)
def test_an_empty_or_broken_file_is_one_clear_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(text)
    with pytest.raises(AlignmentError, match=reason):
        read_pairs(path)
    with pytest.raises(AlignmentError, match="align read"):
        read_pairs(tmp_path / "dev.jsonl")


def test_the_served_answer_is_rejected_where_a_sample_beats_it_and_preferred_where_none_does() -> None:
    inputs = [TaskInput(name, [{"role": "user", "content": name}]) for name in ("beaten", "best", "cut off")]
    samples = [[("good", 0.9), ("bad", 0.1)]] * 3
    served = [("middling", 0.5), ("better", 0.88), None]
    found = [p for p in pairs_of(inputs, samples, served, 0.05) if isinstance(p, Pair)]
    assert [(p.chosen, p.rejected) for p in found] == [
        ("good", "middling"),
        ("better", "bad"),
        ("good", "bad"),
    ]
    (refused,) = pairs_of(inputs[:1], [[("a", 0.5), ("b", 0.49)]], [("c", 0.52)], 0.05)
    assert refused == BadRow("beaten", "no margin between the answers")
