"""Readers for preference data as it is published.

* hh-rlhf (Bai et al. 2022, arXiv 2204.05862): JSON Lines, `chosen` and `rejected` are transcripts of the form
  "\\n\\nHuman: …\\n\\nAssistant: …" that share all turns but the last.
* instruction files: a JSON list of objects with `instruction`, `input`, `chosen`, `rejected`.
* JSON Lines with `messages` or `prompt` beside `chosen` and `rejected`.

A row that gives no pair is returned with its reason, never dropped in silence.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.alignment.errors import AlignmentError
from training.alignment.records import BadRow, Message, Pair

_TURN = re.compile(r"\n\n(Human|Assistant):[ \t]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


class _Refused(Exception):
    """Why a row gives no pair."""


def read_source(path: Path) -> Iterator[Pair | BadRow]:
    """Pairs and bad rows of a file, or of every .json, .jsonl and .gz file in a folder.

    Raises AlignmentError where there is no such file or none that can be read.
    """
    if path.is_dir():
        files = sorted(
            f for f in path.rglob("*") if f.name.endswith((".json", ".jsonl", ".json.gz", ".jsonl.gz"))
        )
        if not files:
            raise AlignmentError(f"{path}: holds no .json, .jsonl or .jsonl.gz file")
        for file in files:
            yield from read_source(file)
        return
    text = _read_text(path)
    one_list = ".jsonl" not in path.name and text.lstrip().startswith("[")
    rows = _list_rows(path, text) if one_list else _line_rows(text)
    for number, row in rows:
        where = f"{path.name}:{number}"
        try:
            yield _pair_of(row, where)
        except _Refused as exc:
            yield BadRow(where, str(exc))


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as exc:
        raise AlignmentError(
            f"{path}: cannot be read: {exc}; give a JSON or JSON Lines file in UTF-8"
        ) from exc


def _list_rows(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    try:
        rows = json.loads(text)
    except ValueError as exc:
        raise AlignmentError(f"{path}: not valid JSON: {exc}") from exc
    yield from enumerate(rows, start=1)


def _line_rows(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def _pair_of(row: Any, where: str) -> Pair:
    if not isinstance(row, dict):
        raise _Refused("not a JSON object")
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise _Refused("chosen or rejected is missing or no text")
    if "messages" in row or "prompt" in row or "instruction" in row:
        messages = _messages_of(row)
    else:
        messages, chosen, rejected = _split_transcripts(chosen, rejected)
    chosen, rejected = chosen.strip(), rejected.strip()
    if not chosen or not rejected:
        raise _Refused("empty answer")
    if chosen == rejected:
        raise _Refused("both answers are the same")
    margin = row.get("margin")
    return Pair(
        id=str(row.get("id", where)), messages=messages, chosen=chosen, rejected=rejected, source=where,
        margin=margin if isinstance(margin, int | float) else None,
    )  # fmt: skip


def _messages_of(row: dict[str, Any]) -> list[Message]:
    if "messages" in row:
        try:
            messages = [Message.model_validate(message) for message in row["messages"]]
        except (ValidationError, TypeError) as exc:
            raise _Refused("messages are not role and content") from exc
    else:
        parts = [row["prompt"]] if "prompt" in row else [row.get("instruction"), row.get("input")]
        if not all(isinstance(part, str) for part in parts if part is not None):
            raise _Refused("the prompt is no text")
        text = "\n".join(part.strip() for part in parts if part and part.strip())
        messages = [Message(role="user", content=text)]
    if not messages or messages[-1].role != "user" or not messages[-1].content.strip():
        raise _Refused("no user turn before the answers")
    return messages


def _split_transcripts(chosen: str, rejected: str) -> tuple[list[Message], str, str]:
    """The common turns, and the two last ones."""
    first, second = _turns(chosen), _turns(rejected)
    if first[:-1] != second[:-1]:
        raise _Refused("the transcripts differ before the last turn")
    return first[:-1], first[-1].content, second[-1].content


def _turns(transcript: str) -> list[Message]:
    start, *rest = _TURN.split(transcript)
    if start.strip():
        raise _Refused("the transcript does not start with a turn")
    turns = [
        Message.model_validate({"role": _ROLES[speaker], "content": text.strip()})
        for speaker, text in zip(rest[::2], rest[1::2], strict=True)
    ]
    if len(turns) < 2 or turns[-1].role != "assistant":
        raise _Refused("the transcript does not end with an answer")
    if any(turn.role != ("assistant" if place % 2 else "user") for place, turn in enumerate(turns)):
        raise _Refused("the turns do not alternate")
    if any(not turn.content for turn in turns[:-1]):
        raise _Refused("empty turn before the answer")
    return turns
