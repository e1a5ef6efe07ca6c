"""Preference pairs: one schema for all sources, their folder, and the split that keeps an input on one side.

    {"id": …, "messages": [… up to the last user turn], "chosen": …, "rejected": …, "source": …, "margin": …}

A folder of pairs holds `train.jsonl`, `dev.jsonl`, `quarantine.jsonl` (bad rows with reasons) and
`report.json` (counts).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from common.config import StrictModel
from common.files import atomic_write
from training.alignment.errors import AlignmentError

PARTS = ("train", "dev")


class Message(StrictModel):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Pair(StrictModel):
    """Two answers to the same conversation, one preferred."""

    id: str
    messages: list[Message]
    chosen: str
    rejected: str
    source: str
    margin: float | None = None
    """How much better `chosen` scored, where a program scored both."""

    @property
    def prompt(self) -> list[dict[str, str]]:
        """The conversation as the chat template takes it."""
        return [message.model_dump() for message in self.messages]

    @property
    def key(self) -> str:
        """Digest of the conversation: equal for pairs with the same input."""
        return hashlib.sha256(json.dumps(self.prompt).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class BadRow:
    """A source row that gives no pair."""

    where: str
    reason: str


@dataclass(slots=True)
class Collected:
    """What was read or made: pairs and the rows that gave none."""

    pairs: list[Pair] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)

    def reasons(self) -> dict[str, int]:
        """Reason to the number of rows, most frequent first."""
        return dict(Counter(row.reason for row in self.bad).most_common())


def collect(found: Iterable[Pair | BadRow]) -> Collected:
    """Sort pairs from bad rows; a pair that was there before is a bad row too."""
    result = Collected()
    seen: set[tuple[str, str, str]] = set()
    for item in found:
        if isinstance(item, BadRow):
            result.bad.append(item)
            continue
        same = (item.key, item.chosen, item.rejected)
        if same in seen:
            result.bad.append(BadRow(item.source, "duplicate"))
        else:
            seen.add(same)
            result.pairs.append(item)
    return result


def split_by_input(
    pairs: Sequence[Pair], held_out: float, seed: int, where: str, refused: dict[str, int] | None = None
) -> tuple[list[Pair], list[Pair]]:
    """Train and dev pairs that share no input; about `held_out` of the inputs are in dev, at least one.

    Raises AlignmentError for fewer than two distinct inputs; it names the `refused` rows by reason.
    """
    keys = {pair.key for pair in pairs}
    if len(keys) < 2:
        count = "no pairs" if not pairs else f"{len(pairs)} pair(s), all of one input"
        why = ", ".join(f"{rows} rows: {reason}" for reason, rows in (refused or {}).items())
        raise AlignmentError(
            f"{where}: {count}{f' ({why})' if why else ''}; at least two different inputs are needed, one to "
            "learn from and one held out"
        )
    ranked = sorted(keys, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    dev = set(ranked[: min(len(keys) - 1, max(1, math.ceil(held_out * len(keys))))])
    return [p for p in pairs if p.key not in dev], [p for p in pairs if p.key in dev]


def write_pairs(
    folder: Path, collected: Collected, held_out: float, seed: int, facts: dict[str, Any]
) -> None:
    """Write the folder. Raises AlignmentError where there is too little to split, FileError."""
    parts = split_by_input(collected.pairs, held_out, seed, str(folder), collected.reasons())
    for name, pairs in zip(PARTS, parts, strict=True):
        lines = (pair.model_dump_json(exclude_none=True) + "\n" for pair in pairs)
        atomic_write(folder / f"{name}.jsonl", "".join(lines))
    rows = (json.dumps({"where": row.where, "reason": row.reason}) + "\n" for row in collected.bad)
    atomic_write(folder / "quarantine.jsonl", "".join(rows))
    counts = {name: len(pairs) for name, pairs in zip(PARTS, parts, strict=True)}
    report = {"pairs": counts, "bad_rows": collected.reasons(), "held_out": held_out, "seed": seed, **facts}
    atomic_write(folder / "report.json", json.dumps(report, indent=2) + "\n")


def write_chats(path: Path, pairs: Sequence[Pair]) -> None:
    """Write the pairs' preferred answers as conversations, as `python -m training data` reads them."""
    rows = ([*pair.prompt, {"role": "assistant", "content": pair.chosen}] for pair in pairs)
    atomic_write(path, "".join(json.dumps({"messages": row}, ensure_ascii=False) + "\n" for row in rows))


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of one file of such a folder. Raises AlignmentError naming the line."""
    try:
        # Not splitlines(): answers may hold characters that it takes for the end of a line.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise AlignmentError(
            f"{path}: no readable pairs ({exc}); `python -m training align pairs` makes some, "
            "`python -m training align read` converts yours"
        ) from exc
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            pairs.append(Pair.model_validate_json(line))
        except ValidationError as exc:
            problem = exc.errors()[0]
            key = ".".join(str(part) for part in problem["loc"]) or "the line"
            raise AlignmentError(f"{path}:{number}: not a pair: {key}: {problem['msg']}") from exc
    if not pairs:
        raise AlignmentError(f"{path}: holds no pairs: there is nothing to learn from")
    return pairs
