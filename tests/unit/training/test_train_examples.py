"""From rows to token groups: loss on answers only, long rows left out, unusable data refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.tiny_training import pairs, write_data, write_tokenizer
from training.examples import ChatTokenizer, ExamplesError, read_answers, read_texts

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    folder = tmp_path_factory.mktemp("t")
    return ChatTokenizer(write_tokenizer(write_data(folder / "data", pairs()), folder / "tokenizer"))


def chat(*contents: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"id": "x", "messages": [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]}


def test_groups_are_the_template_cut_before_the_answer(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    data = write_data(tmp_path / "d", [chat("name[A]", "A is."), chat("name[A]", "It is A.")])
    (group,) = read_answers(data / "train.jsonl", tokenizer, 64).groups
    for continuation, answer in zip(group.continuations, ("A is.", "It is A."), strict=True):
        (whole,) = tokenizer.encode([f"<s><|user|>name[A]<|assistant|>{answer}</s>"])
        assert [*group.context, *continuation] == whole.tolist()
        assert continuation[0] == 5  # <|assistant|> predicts the first word and carries no loss itself


def test_every_assistant_turn_is_an_answer(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    data = write_data(tmp_path / "d", [chat("hi", "Yes.", "and?", "No.")])
    groups = read_answers(data / "train.jsonl", tokenizer, 64).groups
    assert [tokenizer.decode(g.continuations[0][1:].tolist()) for g in groups] == ["Yes.", "No."]


def test_rows_longer_than_a_row_are_left_out_and_counted(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    data = write_data(tmp_path / "d", [chat("name[A]", "A is."), chat("name[B]", "word " * 100)])
    examples = read_answers(data / "train.jsonl", tokenizer, 64)
    assert (examples.rows, examples.too_long) == (1, 1)


def test_long_texts_are_cut_without_losing_a_target(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    text = "The heron stands. " * 40
    data = write_data(tmp_path / "d", [{"id": "t", "text": text}])
    groups = read_texts(data / "train.jsonl", tokenizer, 16).groups
    (whole,) = tokenizer.encode([f"<s>{text}</s>"])
    assert [int(t) for g in groups for t in g.continuations[0][1:]] == whole[1:].tolist()
    assert all(len(g.continuations[0]) <= 17 for g in groups)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there is no answer"),
        ([{"id": "1", "text": "no chat"}], "there is no answer"),
        ([chat("name[A]", "word " * 100)], "all 1 rows are longer than row_tokens = 64"),
        ([{"id": "1"}], r"train.jsonl:1: a row needs"),
    ],
)
def test_unusable_answers_are_refused(
    tmp_path: Path, tokenizer: ChatTokenizer, rows: list[dict[str, Any]], message: str
) -> None:
    data = write_data(tmp_path / "d", rows)
    with pytest.raises(ExamplesError, match=message):
        read_answers(data / "train.jsonl", tokenizer, 64)


def test_an_empty_split_and_a_broken_line_are_refused(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    data = write_data(tmp_path / "d", [])
    with pytest.raises(ExamplesError, match="the split is empty"):
        read_texts(data / "train.jsonl", tokenizer, 64)
    (data / "train.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    with pytest.raises(ExamplesError, match=r"train.jsonl:2: not a JSON object"):
        read_texts(data / "train.jsonl", tokenizer, 64)


def test_missing_folders_are_named(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    with pytest.raises(ExamplesError, match="no such data set"):
        read_answers(tmp_path / "nowhere" / "train.jsonl", tokenizer, 64)
    with pytest.raises(ExamplesError, match="holds no tokenizer"):
        ChatTokenizer(tmp_path)
