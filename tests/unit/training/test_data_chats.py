"""JSON rows in every known form, and the ways in which they are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.data.config import DataConfig, DataError
from training.data.records import TEXT, Record, Rejected
from training.data.sources.chats import read_json, read_jsonl

pytestmark = pytest.mark.unit

CONFIG = DataConfig(name="t", max_row_chars=200, text_chunk_chars=100)


def read(tmp_path: Path, *rows: object) -> list[Record | Rejected]:
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return list(read_jsonl(path, None, CONFIG))


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"prompt": "Hi", "completion": "Ho"}, ["Hi"], "Ho"),
        ({"instruction": "Do", "input": "this", "output": "done"}, ["Do\nthis"], "done"),
        ({"instruction": "Do", "output": "done"}, ["Do"], "done"),
        ({"messages": [message("user", "Hi"), message("assistant", "Ho")]}, ["Hi"], "Ho"),
        (
            {"messages": [message("system", "S"), message("user", "Hi"), message("assistant", "Ho\r\nho")]},
            ["S", "Hi"],
            "Ho\nho",
        ),
        ({"messages": [message("user", "Hi")]}, ["Hi"], None),
        ({"mr": "name[A]", "ref": "A."}, ["name[A]"], "A."),
    ],
)
def test_every_form_is_read(
    tmp_path: Path, row: dict[str, object], prompt: list[str], answer: str | None
) -> None:
    (record,) = read(tmp_path, row)
    assert isinstance(record, Record)
    assert [m["content"] for m in record.prompt] == prompt
    assert record.answer == answer


def test_split_and_task_of_a_row_are_kept(tmp_path: Path) -> None:
    row = {"prompt": "a", "completion": "b", "split": "validation", "task": "sums"}
    text = {"text": "Once upon a time"}
    first, second = read(tmp_path, row, text)
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert (first.split, first.task, second.task) == ("dev", "sums", TEXT)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{not json", "not JSON"),
        ("[" * 5000, "oversized"),
        ([1, 2], "wrong columns"),
        ({"question": "a"}, "wrong columns"),
        ({"messages": []}, "wrong columns"),
        ({"messages": ["a"]}, "wrong columns"),
        ({"messages": [message("robot", "a")]}, "wrong columns"),
        ({"messages": [message("assistant", "a")]}, "wrong columns"),
        ({"messages": [message("user", "a"), message("assistant", " ")]}, "empty"),
        ({"prompt": "a", "completion": 3}, "wrong columns"),
        ({"prompt": "a", "completion": "b" * 300}, "oversized"),
        ({"prompt": "a", "completion": "\ud800"}, "not UTF-8"),
        ({"mr": "name[A", "ref": "A."}, "broken attribute syntax"),
    ],
)
def test_a_wrong_row_is_rejected_with_its_reason(tmp_path: Path, row: object, reason: str) -> None:
    good, bad = read(tmp_path, {"prompt": "a", "completion": "b"}, row)
    assert isinstance(good, Record)
    assert isinstance(bad, Rejected)
    assert (bad.reason, bad.place.line) == (reason, 2)
    assert json.loads(bad.as_json())["reason"] == reason


def test_a_json_array_is_read_and_anything_else_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    path.write_text('[{"instruction": "a", "input": "", "output": "b"}]')
    assert len(list(read_json(path, None, CONFIG))) == 1
    for content in ('{"a": 1}', "nonsense"):
        path.write_text(content)
        with pytest.raises(DataError, match=r"d\.json"):
            list(read_json(path, None, CONFIG))
