"""The state of a crawl in SQLite: which pages wait, which are done, how much is stored."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.corpus.crawl.config import CrawlError
from training.corpus.crawl.urls import site_of

WAITING, DONE = "waiting", "done"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pages (
  number INTEGER PRIMARY KEY, url TEXT UNIQUE NOT NULL, site TEXT NOT NULL, depth INTEGER NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting', detail TEXT NOT NULL DEFAULT '', etag TEXT NOT NULL DEFAULT '',
  modified TEXT NOT NULL DEFAULT '', bytes INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS waiting ON pages (state, site, number);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A page to fetch; `etag` and `modified` are those of an earlier fetch, or empty."""

    url: str
    depth: int
    etag: str
    modified: str


class State:
    """The pages of a crawl. Each method is one transaction."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as exc:
            raise CrawlError(f"{path}: no state of a crawl: {exc}; choose another output folder") from exc

    def add(self, urls: Iterable[str], depth: int) -> None:
        """Pages to fetch; those that are known already stay as they are."""
        with self._transaction():
            self._add(urls, depth)

    def next(self, sites: Iterable[str]) -> Page | None:
        """The page that has waited longest among the first of `sites` that has one."""
        for site in sites:
            row = self._db.execute(
                "SELECT url, depth, etag, modified FROM pages WHERE state = ? AND site = ? "
                "ORDER BY depth, number LIMIT 1", (WAITING, site),
            ).fetchone()  # fmt: skip
            if row:
                return Page(*row)
        return None

    def finish(
        self, page: Page, state: str, detail: str = "", *, links: Iterable[str] = (), depth: int = 0,
        etag: str = "", modified: str = "", size: int = 0, stored: int | None = None,
    ) -> None:  # fmt: skip
        """All that a fetched page changes, at once: its own state, new pages, the size of the store."""
        with self._transaction():
            self._db.execute(
                "UPDATE pages SET state = ?, detail = ?, etag = ?, modified = ?, bytes = bytes + ? "
                "WHERE url = ?", (state, detail, etag, modified, size, page.url),
            )  # fmt: skip
            self._add(links, depth)
            if stored is not None:
                self._set("stored", str(stored))

    def begin_again(self) -> None:
        """Let all pages wait once more; what they said of their version is kept."""
        with self._transaction():
            self._db.execute("UPDATE pages SET state = ?, detail = ''", (WAITING,))

    def counts(self) -> Counter[str]:
        """Pages by state."""
        return Counter(dict(self._db.execute("SELECT state, COUNT(*) FROM pages GROUP BY state")))

    def details(self) -> list[tuple[str, str, int]]:
        """(state, detail, pages) of all that is neither done nor waiting."""
        return list(
            self._db.execute(
                "SELECT state, detail, COUNT(*) FROM pages WHERE state NOT IN (?, ?) "
                "GROUP BY state, detail ORDER BY 3 DESC, 1, 2", (DONE, WAITING),
            )
        )  # fmt: skip

    def bytes(self) -> int:
        """Bytes fetched so far."""
        return int(self._db.execute("SELECT COALESCE(SUM(bytes), 0) FROM pages").fetchone()[0])

    def fact(self, name: str) -> str:
        """A remembered value, or ""."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def remember(self, name: str, value: str) -> None:
        """Remember a value."""
        with self._transaction():
            self._set(name, value)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db  # as a context manager it commits, or rolls back on an exception

    def _add(self, urls: Iterable[str], depth: int) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO pages (url, site, depth) VALUES (?, ?, ?)",
            [(url, site_of(url), depth) for url in urls],
        )

    def _set(self, name: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))
