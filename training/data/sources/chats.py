"""Conversations as JSON: `messages`, `instruction`/`input`/`output`, `prompt`/`completion`, or `text`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.data.attributes import canonical_input, normalise
from training.data.config import DataConfig, DataError
from training.data.records import (
    CHAT,
    TEXT,
    BadRow,
    Message,
    Place,
    Record,
    Rejected,
    Split,
    clean_text,
    not_utf8,
    require_text,
    split_of,
)
from training.data.sources.lines import read_lines
from training.data.sources.tables import INPUT_COLUMNS, REFERENCE_COLUMNS, attribute_record

ROLES = ("system", "user", "assistant")


def read_jsonl(path: Path, split: Split | None, config: DataConfig) -> Iterator[Record | Rejected]:
    """Rows of a JSON Lines file, one object a line."""
    # An escape can take six characters for one, so the raw line may be longer than the row it holds.
    limit = 8 * config.max_row_chars
    for number, line in enumerate(read_lines(path, limit), start=1):
        if not line.strip():
            continue
        place = Place(path.name, number)
        try:
            if len(line) > limit:
                raise BadRow("oversized", f"a line of more than {limit} characters")
            yield chat_record(_parse(line), split, place, config)
        except BadRow as bad:
            yield Rejected(place, bad.reason, bad.detail, line)


def read_json(path: Path, split: Split | None, config: DataConfig) -> Iterator[Record | Rejected]:
    """Rows of a JSON file that is one array. It is read at once, so JSON Lines suits large sets better."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as exc:
        raise DataError(f"{path}: not a readable JSON file: {exc}") from exc
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a JSON array of rows; found {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        place = Place(path.name, number)
        try:
            yield chat_record(row, split, place, config)
        except BadRow as bad:
            yield Rejected(place, bad.reason, bad.detail, json.dumps(row))


def chat_record(row: Any, split: Split | None, place: Place, config: DataConfig) -> Record:
    """A checked row from an object in any of the known forms. Raises BadRow.

    A `split` field in the row overrides the file's split; a `task` field is kept.
    """
    if not isinstance(row, dict):
        raise BadRow("wrong columns", f"expected an object, found {type(row).__name__}")
    split = split_of(str(row["split"])) if row.get("split") else split
    if any(column in row for column in INPUT_COLUMNS):
        mr = next(row[column] for column in INPUT_COLUMNS if column in row)
        reference = next((row[column] for column in REFERENCE_COLUMNS if column in row), None)
        return attribute_record(mr, reference, split, place, config)
    if "text" in row and "messages" not in row:
        return _text_record(require_text(row["text"], "text"), split, place, config)
    messages = _messages(row)
    if sum(len(message["content"]) for message in messages) > config.max_row_chars:
        raise BadRow("oversized", f"more than {config.max_row_chars} characters")
    answer = messages.pop()["content"] if messages[-1]["role"] == "assistant" else None
    if not messages or messages[-1]["role"] != "user":
        raise BadRow("wrong columns", "an assistant's answer must follow a user's message")
    task = row.get("task") if isinstance(row.get("task"), str) else None
    group = row.get("group") if isinstance(row.get("group"), str) else None
    return Record(task or CHAT, tuple(messages), answer, split, group or _group(messages), place)


def _text_record(text: str, split: Split | None, place: Place, config: DataConfig) -> Record:
    text = clean_text(text)
    if len(text) > config.max_row_chars:
        raise BadRow("oversized", f"more than {config.max_row_chars} characters")
    return Record(TEXT, (), text, split, normalise(text), place)


def _parse(line: str) -> Any:
    if not_utf8(line):
        raise BadRow("not UTF-8")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise BadRow("not JSON", str(exc)) from exc


def _group(messages: list[Message]) -> str:
    if len(messages) == 1:
        return canonical_input(messages[0]["content"])
    return "\x1e".join(f"{m['role']}={normalise(m['content'])}" for m in messages)


def _messages(row: Mapping[str, Any]) -> list[Message]:
    if "messages" in row:
        return _checked_messages(row["messages"])
    if "instruction" in row and "output" in row:
        instruction = clean_text(require_text(row["instruction"], "instruction"))
        extra = row.get("input") or ""
        if not isinstance(extra, str):
            raise BadRow("wrong columns", "input is no text")
        content = f"{instruction}\n{clean_text(extra)}".strip()
        return [_message("user", content), _message("assistant", row["output"])]
    if "prompt" in row and "completion" in row:
        return [_message("user", row["prompt"]), _message("assistant", row["completion"])]
    found = ", ".join(sorted(map(str, row))) or "nothing"
    raise BadRow(
        "wrong columns", f"needs messages, instruction/output, prompt/completion or text; found {found}"[:200]
    )


def _checked_messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise BadRow("wrong columns", "messages is no list with a message in it")
    messages = []
    for message in value:
        if not isinstance(message, dict) or "content" not in message:
            raise BadRow("wrong columns", "a message is no object with role and content")
        if message.get("role") not in ROLES:
            raise BadRow(
                "wrong columns", f"role {str(message.get('role'))[:40]!r}; known: {', '.join(ROLES)}"
            )
        messages.append(_message(message["role"], message["content"]))
    return messages


def _message(role: str, content: Any) -> Message:
    return {"role": role, "content": clean_text(require_text(content, f"content of the {role} message"))}
