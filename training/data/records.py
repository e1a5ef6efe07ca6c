"""One row on its way in: the record, the row check, and the cleaning that every source shares."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["train", "dev", "test"]
Message = dict[str, str]

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
SPLIT_ALIASES: dict[str, Split] = {
    "train": "train", "training": "train", "trainset": "train",
    "dev": "dev", "devset": "dev", "valid": "dev", "validation": "dev", "val": "dev", "eval": "dev",
    "test": "test", "testset": "test", "testing": "test",
}  # fmt: skip

DATA_TO_TEXT = "data-to-text"
CHAT = "chat"
TEXT = "text"

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")


class BadRow(ValueError):
    """A row that cannot be used; `reason` is one of few phrases, so that it can be counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row was read: file (or data set) and 1-based line (or row)."""

    source: str
    line: int


@dataclass(frozen=True, slots=True)
class Record:
    """A checked row.

    `prompt` holds the messages before the answer and is empty for plain text; `answer` is None where only the
    input is known (a test set without references). `group` names the input for the splits: records with
    one group never land in different splits.
    """

    task: str
    prompt: tuple[Message, ...]
    answer: str | None
    split: Split | None
    group: str
    place: Place


@dataclass(frozen=True, slots=True)
class Rejected:
    """A bad row as it goes to quarantine."""

    place: Place
    reason: str
    detail: str
    raw: str

    def as_json(self) -> str:
        """One line of quarantine.jsonl; the raw row is cut at 2,000 characters."""
        raw = self.raw if len(self.raw) <= 2_000 else self.raw[:2_000] + "…"
        row = {
            "source": self.place.source,
            "line": self.place.line,
            "reason": self.reason,
            "detail": self.detail,
        }
        # A lone surrogate stands for a byte that is not UTF-8; escapes keep the line valid JSON and valid
        # UTF-8.
        return json.dumps({**row, "raw": raw}, ensure_ascii=True)


def clean_line(text: str) -> str:
    """Text for one line: NFC, no control characters, any white space as one space."""
    return " ".join(clean_text(text).split())


def clean_text(text: str) -> str:
    """Text that may have lines: NFC, Unix line ends, no control characters, no white space around it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", _CONTROL.sub("", text)).strip()


def require_text(value: Any, what: str) -> str:
    """`value` as text. Raises BadRow where it is no text, empty, or was not UTF-8."""
    if not isinstance(value, str):
        raise BadRow("wrong columns", f"{what} is {type(value).__name__}, not text")
    if not_utf8(value):
        raise BadRow("not UTF-8", what)
    if not clean_text(value):
        raise BadRow("empty", what)
    return value


def not_utf8(text: str) -> bool:
    """Whether `text` holds a lone surrogate, which stands for a byte that is not UTF-8."""
    return _SURROGATE.search(text) is not None


def split_of(name: str) -> Split | None:
    """The split that a file stem, folder or `split` field names; None where it names none."""
    first = re.split(r"[-_.]", name.lower())[0]
    return SPLIT_ALIASES.get(first)
