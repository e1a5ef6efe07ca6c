"""A row on its way through the stages. Rows never vanish: what is dropped carries where it fell and why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from training.corpus.config import SourceConfig
from training.data.records import Place, Rejected

Row = dict[str, Any]
Markup = Literal["text", "markdown", "html", "fragment", "wikitext", "code"]

QUARANTINED_CHARS = 600
"""What is kept of the text of a row that fell."""

SCHEMA = pa.schema(
    [
        ("origin", pa.string()),  # name of the source in the settings
        ("kind", pa.string()),  # book, wiki, code, news, social, web
        ("text", pa.string()),
        ("markup", pa.string()),
        ("source", pa.string()),  # file:line
        ("document", pa.string()),  # equal for the pieces of one book, page or thread
        ("part", pa.int32()),  # number of the piece within what the reader gave
        ("url", pa.string()),
        ("licence", pa.string()),
        ("lang", pa.string()),
        ("shard", pa.string()),
        ("fell_at", pa.string()),  # stage; empty: still in
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("pii", pa.string()),  # JSON: how many spans of each type were masked
        ("signature", pa.binary()),  # MinHash values (uint32, little-endian)
    ]
)


@dataclass(frozen=True, slots=True)
class Document:
    """What a reader yields: a text with its markup, not yet cleaned.

    `document` is equal for the segments of one book; `place` says where the text was read.
    """

    text: str
    markup: Markup
    place: Place
    document: str
    url: str = ""
    licence: str = ""
    lang: str = ""


def raw_row(item: Document | Rejected, source: SourceConfig, kind: str, licence: str, shard: str) -> Row:
    """The first form of a row; what the reader rejected has fallen at `read`."""
    place = f"{item.place.source}:{item.place.line}"
    row: Row = {
        "origin": source.name, "kind": kind, "markup": "text", "source": place, "document": place, "part": 0,
        "url": "", "licence": licence, "lang": source.lang, "shard": shard, "fell_at": "", "reason": "",
        "detail": "", "pii": "", "signature": b"",
    }  # fmt: skip
    if isinstance(item, Rejected):
        # A lone surrogate stands for a byte that is not UTF-8: Arrow would refuse it.
        row["text"] = item.raw.encode("utf-8", "replace").decode("utf-8")
        return fall(row, "read", item.reason, item.detail)
    return row | {
        "text": item.text, "markup": item.markup, "document": item.document, "url": item.url,
        "licence": item.licence or licence, "lang": item.lang or source.lang,
    }  # fmt: skip


def fall(row: Row, stage: str, reason: str, detail: str = "") -> Row:
    """Mark a row as dropped; of its text only the beginning is carried on."""
    row.update(fell_at=stage, reason=reason, detail=detail, text=row["text"][:QUARANTINED_CHARS])
    return row


def to_table(rows: Iterable[Row]) -> pa.Table:
    """Rows as an Arrow table with SCHEMA."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def quarantine_line(row: Row) -> str:
    """One line of quarantine.jsonl."""
    keys = ("origin", "source", "url", "fell_at", "reason", "detail", "text")
    return json.dumps({key: row[key] for key in keys}, ensure_ascii=False)
