"""What is sent: prompts from a file, or recorded request events to play again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.load.arrivals import Arrival
from tests.load.errors import LoadError
from tests.load.scenario import Replay

Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One event of a recording: when, and how large; the text only where the tenant allowed it."""

    at: float
    messages: Messages | None
    max_tokens: int | None


def read_inputs(path: Path) -> list[Messages]:
    """Conversations from a text file (a prompt a line) or JSONL (`input`, `prompt` or `messages`).

    An assistant's turn at the end is left out: it is the answer. Raises LoadError naming file and line.
    """
    if path.suffix == ".jsonl":
        conversations = [_conversation(row, where) for row, where in _json_lines(path)]
    else:
        conversations = [_user(line) for line in _lines(path) if line.strip()]
    if not conversations:
        raise LoadError(f"{path}: holds no prompts")
    return conversations


def draw(conversations: list[Messages], count: int, seed: int) -> list[Messages]:
    """`count` conversations in random order; one comes again only when all have been used.

    A repeated prompt may hit the server's prefix cache, so the result says how many were distinct.
    """
    rng = random.Random(f"{seed}/inputs")
    drawn: list[Messages] = []
    while len(drawn) < count:
        drawn += rng.sample(conversations, len(conversations))
    return drawn[:count]


def read_recording(path: Path, replay: Replay) -> list[RecordedRequest]:
    """The requests of a recording in order of arrival, the first at 0 s.

    Raises LoadError where the file holds no request event or one without a time.
    """
    rows = [(_moment(row, where), row) for row, where in _json_lines(path)]
    if not rows:
        raise LoadError(f"{path}: holds no request events")
    first = min(moment for moment, _ in rows)
    recorded = [
        RecordedRequest((moment - first) / replay.speed, _prompt(row), row.get("max_tokens") or None)
        for moment, row in sorted(rows, key=lambda pair: pair[0])
    ]
    return [request for request in recorded if request.at < replay.seconds]


def replay_arrivals(recorded: list[RecordedRequest], warmup_seconds: float, limit: int) -> list[Arrival]:
    """The recording's own times; what falls into the warm-up is sent and left out of the figures.

    Raises LoadError when there are more than `limit`, or none after the warm-up.
    """
    if len(recorded) > limit:
        raise LoadError(f"the recording holds {len(recorded)} requests, max_requests is {limit}")
    arrivals = [Arrival(at=request.at, stage=0, warmup=request.at < warmup_seconds) for request in recorded]
    if all(arrival.warmup for arrival in arrivals):
        raise LoadError("every recorded request falls into the warm-up; set warmup_seconds: 0")
    return arrivals


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as stream:
            yield from stream
    except FileNotFoundError as exc:
        raise LoadError(f"{path}: no such file; name it in the scenario or with --inputs") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise LoadError(f"{path}: cannot be read: {exc}") from exc


def _json_lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise LoadError(f"{path}:{number}: not JSON: {exc}") from exc
        if not isinstance(row, dict):
            raise LoadError(f"{path}:{number}: expected a JSON object, found a {type(row).__name__}")
        yield row, f"{path}:{number}"


def _conversation(row: dict[str, Any], where: str) -> Messages:
    for key in ("input", "prompt"):
        if isinstance(row.get(key), str):
            return _user(row[key])
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(_is_message(message) for message in messages):
        raise LoadError(f"{where}: needs `input`, `prompt` (text) or `messages` (role and content)")
    turns = [{"role": message["role"], "content": message["content"]} for message in messages]
    if turns and turns[-1]["role"] == "assistant":
        turns.pop()
    if not turns:
        raise LoadError(f"{where}: no message before the assistant's")
    return turns


def _is_message(message: Any) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(k), str) for k in ("role", "content"))


def _user(text: str) -> Messages:
    return [{"role": "user", "content": text.strip()}]


def _moment(row: dict[str, Any], where: str) -> float:
    """When the request arrived: its event is written at its end, `e2e_ms` later."""
    try:
        return datetime.fromisoformat(row["time"]).timestamp() - (row.get("e2e_ms") or 0.0) / 1000
    except (KeyError, TypeError, ValueError) as exc:
        raise LoadError(f"{where}: a request event needs `time` in RFC 3339 and `e2e_ms`") from exc


def _prompt(row: dict[str, Any]) -> Messages | None:
    """The recorded prompt, as text or as a list of messages; None where it was not kept."""
    prompt = row.get("prompt")
    if isinstance(prompt, str) and prompt:
        return _user(prompt)
    if isinstance(prompt, list) and prompt and all(_is_message(message) for message in prompt):
        return [{"role": message["role"], "content": message["content"]} for message in prompt]
    return None
