"""Text extraction and clean-up: markup to text, text to pieces of about `chunk_chars` characters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from training.corpus.config import CorpusConfig
from training.corpus.rows import Row, fall
from training.corpus.stages.markup import (
    from_fragment,
    from_html,
    from_markdown,
    from_wikitext,
    strip_gutenberg,
)
from training.data.records import clean_text
from training.data.sources.texts import chunk_lines
from training.tokenizer import SPECIAL_TOKENS

_EXTRACTORS: dict[str, Callable[[str], str]] = {
    "html": from_html, "fragment": from_fragment, "wikitext": from_wikitext, "markdown": from_markdown,
}  # fmt: skip
# A document that spells out `</s>` or `<|user|>` would otherwise be read as the control token itself.
_CONTROL_TOKENS = re.compile("|".join(map(re.escape, SPECIAL_TOKENS)))
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u00ad]")
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u3000]+")
_BLANK_LINES = re.compile(r"\n\s*\n\s*\n+")
_SENTENCE_END = re.compile(r"(?<=[.!?…][\"'”’)]) |(?<=[.!?…]) ")


class Extract:
    """One row a document in, one row a piece out; a document without text falls."""

    def __init__(self, config: CorpusConfig) -> None:
        self._chunk_chars = config.chunk_chars

    def __call__(self, row: Row) -> Iterator[Row]:
        """The pieces, numbered in `part`."""
        extractor = _EXTRACTORS.get(row["markup"])
        text = extractor(row["text"]) if extractor else row["text"]
        if row["kind"] == "book":
            text = strip_gutenberg(text)
        text = clean_code(text) if row["kind"] == "code" else clean_prose(text)
        if not text:
            yield fall(row, "extract", "no text", row["markup"])
            return
        lines = (piece for line in text.split("\n") for piece in wrap(line, self._chunk_chars))
        limit = self._chunk_chars
        for part, (_, chunk) in enumerate(chunk_lines(lines, limit, max_line_chars=limit)):
            yield row | {"text": chunk.strip("\n"), "markup": "text", "part": part}


def clean_prose(text: str) -> str:
    """NFC, no control tokens or invisible characters, single spaces, at most one blank line."""
    text = _INVISIBLE.sub("", _CONTROL_TOKENS.sub(" ", clean_text(text)))
    lines = (_SPACES.sub(" ", line).strip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def clean_code(text: str) -> str:
    """As `clean_prose`, but spaces at the beginning of lines mean something."""
    text = _INVISIBLE.sub("", _CONTROL_TOKENS.sub(" ", clean_text("\n" + text)))
    return _BLANK_LINES.sub("\n\n\n", "\n".join(line.rstrip() for line in text.split("\n"))).strip("\n")


def wrap(line: str, limit: int) -> Iterator[str]:
    """A line as it is, or, longer than `limit`, in pieces that end with a sentence, else at a space."""
    while len(line) > limit:
        ends = [match.end() for match in _SENTENCE_END.finditer(line, 0, limit)]
        cut = ends[-1] if ends else line.rfind(" ", 1, limit) + 1 or limit
        yield line[:cut].rstrip()
        line = line[cut:]
    yield line
