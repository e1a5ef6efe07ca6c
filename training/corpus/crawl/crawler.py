"""The crawl: take a page that waits, ask politely, store it, remember its links."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from tqdm import tqdm

from common.files import FileError
from training.corpus.crawl.config import CrawlConfig, CrawlError
from training.corpus.crawl.fetch import Answer, Clock, Fetcher
from training.corpus.crawl.state import DONE, WAITING, Page, State
from training.corpus.crawl.store import JsonLines, Store, Warc
from training.corpus.crawl.urls import normalise_url, read_links, site_of

_REDIRECTS = {301, 302, 303, 307, 308}
_SAME_CRAWL = ("urls", "format")


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """What a crawl has by now: pages stored and waiting, bytes, what was left out, why this run ended."""

    stored: int
    waiting: int
    bytes: int
    left_out: list[tuple[str, str, int]]
    ended: str


class Crawler:
    """One run of a crawl. Killed at any moment, the next goes on: a finished page is not fetched again."""

    def __init__(self, settings: CrawlConfig, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or Clock()
        self._state = State(settings.output / "crawl.sqlite")
        self._check_same_crawl()
        self._store = self._open_store()
        self._fetcher = Fetcher(settings, self._clock)
        starts = [url for url in map(normalise_url, settings.urls) if url]
        self._sites = list(dict.fromkeys(map(site_of, starts)))
        self._state.add(starts, 0)

    def run(self, *, refresh: bool = False, progress: bool = True) -> CrawlResult:
        """Crawl until nothing waits or a bound is met. `refresh` asks again for what may have changed."""
        if refresh:
            self._state.begin_again()
        end = self._clock.now() + self._settings.max_seconds
        try:
            with tqdm(desc="crawl", unit=" pages", disable=None if progress else True, leave=False) as bar:
                while not (ended := self._bound(end)):
                    page = self._state.next(self._by_readiness())
                    if page is None:
                        ended = "all pages fetched"
                        break
                    self._visit(page)
                    bar.update()
            counts = self._state.counts()
            return CrawlResult(
                counts[DONE], counts[WAITING], self._state.bytes(), self._state.details(), ended
            )
        except OSError as exc:
            raise FileError(
                f"{self._settings.output}: could not be written: {exc.strerror or exc}; what was stored is "
                "whole, and the same command goes on there"
            ) from exc
        finally:
            self._fetcher.close()
            self._state.close()

    def _bound(self, end: float) -> str:
        if self._state.counts()[DONE] >= self._settings.max_pages:
            return f"{self._settings.max_pages:,} pages (max_pages)"
        if self._state.bytes() >= self._settings.max_bytes:
            return f"{self._settings.max_bytes:,} bytes (max_bytes)"
        return "" if self._clock.now() < end else f"{self._settings.max_seconds:g} s (max_seconds)"

    def _by_readiness(self) -> list[str]:
        return sorted(self._sites, key=lambda site: self._fetcher.free_at.get(site, 0))

    def _visit(self, page: Page) -> None:
        site = site_of(page.url)
        if not self._fetcher.may_fetch(page.url, site):
            self._state.finish(page, "left out", "robots.txt")
            return
        versions = {"If-None-Match": page.etag, "If-Modified-Since": page.modified}
        answer = self._fetcher.get(page.url, site, {name: value for name, value in versions.items() if value})
        if answer.status == 304:
            self._state.finish(page, DONE, "unchanged", etag=page.etag, modified=page.modified)
        elif answer.status in _REDIRECTS:
            self._redirect(page, answer)
        elif answer.problem or answer.status != 200:
            self._state.finish(page, "failed", answer.problem or f"status {answer.status}")
        elif answer.content_type not in self._settings.content_types:
            self._state.finish(page, "left out", f"type {answer.content_type or 'unknown'}")
        else:
            self._keep(page, answer)

    def _redirect(self, page: Page, answer: Answer) -> None:
        target = normalise_url(answer.headers.get("location", ""), page.url)
        inside = target is not None and site_of(target) in self._sites
        # A loop ends by itself: a page that is known is not added again.
        links = [target] if target and inside else []
        detail = "" if inside else "leaves the site"
        self._state.finish(page, "redirect", detail, links=links, depth=page.depth)

    def _keep(self, page: Page, answer: Answer) -> None:
        plain = answer.content_type == "text/plain"
        found = read_links(page.url, b"" if plain else answer.body, answer.headers.get("x-robots-tag", ""))
        deeper = page.depth < self._settings.max_depth
        links = [url for url in found.urls if deeper and site_of(url) in self._sites]
        stamp = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        stored = self._store.append(answer, stamp) if found.keep else None
        # The store first: a page torn by a kill is cut off, and its state is then still `waiting`.
        self._state.finish(
            page, DONE if found.keep else "left out", "" if found.keep else "noindex", links=links,
            depth=page.depth + 1, etag=answer.headers.get("etag", ""),
            modified=answer.headers.get("last-modified", ""), size=len(answer.body), stored=stored,
        )  # fmt: skip

    def _check_same_crawl(self) -> None:
        """Raise CrawlError where the output folder belongs to a crawl of other pages."""
        wanted = json.dumps(self._settings.model_dump(mode="json", include=set(_SAME_CRAWL)), sort_keys=True)
        known = self._state.fact("settings")
        if known and known != wanted:
            raise CrawlError(
                f"{self._settings.output}: holds a crawl with other {' and '.join(_SAME_CRAWL)}: {known}; "
                "choose another output folder"
            )
        self._state.remember("settings", wanted)

    def _open_store(self) -> Store:
        warc = self._settings.format == "warc"
        path = self._settings.output / ("pages.warc.gz" if warc else "pages.jsonl")
        stored = int(self._state.fact("stored") or 0)
        return Warc(path, stored) if warc else JsonLines(path, stored)
