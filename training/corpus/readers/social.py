"""Social exports: a Mastodon archive's outbox (ActivityPub), and posts or comments as JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from training.corpus.config import CorpusError, SourceConfig
from training.corpus.readers.files import open_files
from training.corpus.rows import Document
from training.data.records import Place, Rejected
from training.data.sources.lines import decode_lines

PUBLIC = ("https://www.w3.org/ns/activitystreams#Public", "as:Public", "Public")
_GONE = {"[deleted]", "[removed]", ""}
_MAX_LINE_CHARS = 500_000


def read_mastodon(source: SourceConfig) -> Iterator[Document | Rejected]:
    """The public posts of outbox.json files. Boosts are others' words and are left out; so is who wrote.

    Raises CorpusError where a file is no outbox.
    """
    for name, stream in open_files(source.path, ("outbox.json",) if source.path.is_dir() else (".json",)):
        try:
            items = json.load(stream)["orderedItems"]
        except (ValueError, KeyError, TypeError) as exc:
            raise CorpusError(
                f"source {source.name!r}: {name}: no ActivityPub outbox (a JSON object with `orderedItems`): "
                f"{exc}"
            ) from exc
        for number, item in enumerate(items, start=1):
            post = item.get("object") if isinstance(item, dict) else None
            if isinstance(post, dict) and item.get("type") == "Create":
                yield _post(post, Place(name, number))


def _post(post: dict[str, Any], place: Place) -> Document | Rejected:
    addressed = {*_listed(post.get("to")), *_listed(post.get("cc"))}
    content = str(post.get("content") or "")
    if not addressed.intersection(PUBLIC):
        return Rejected(place, "not public", "", "")
    if not content.strip():
        return Rejected(place, "empty", "", "")
    url = str(post.get("url") or post.get("id") or "")
    # A thread is one document: whoever answers quotes.
    thread = str(post.get("conversation") or post.get("inReplyTo") or url or f"{place.source}:{place.line}")
    language = next(iter(post.get("contentMap") or {}), "")
    return Document(content, "fragment", place, thread, url=url, lang=str(language)[:2])


def read_reddit(source: SourceConfig) -> Iterator[Document | Rejected]:
    """Posts (`title`, `selftext`) and comments (`body`), one JSON object a line; authors are not kept."""
    for name, stream in open_files(source.path, (".jsonl", ".ndjson", ".jsonl.gz", ".json")):
        for number, line in enumerate(decode_lines(stream, _MAX_LINE_CHARS), start=1):
            if not line.strip():
                continue
            place = Place(name, number)
            try:
                row = json.loads(line)
                body, title = row.get("body") or row.get("selftext") or "", row.get("title") or ""
            except (ValueError, AttributeError) as exc:
                yield Rejected(place, "broken JSON", str(exc), line)
                continue
            if str(body).strip() in _GONE:
                yield Rejected(place, "deleted or empty", "", "")
                continue
            thread = str(row.get("link_id") or row.get("name") or row.get("id") or f"{name}:{number}")
            url = str(row.get("permalink") or row.get("url") or "")
            text = f"{title}\n\n{body}" if title else str(body)
            yield Document(text, "markdown", place, thread, url=url)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value or []]
