"""The settings of a crawl."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from common.config import StrictModel
from common.errors import TriviumError


class CrawlError(TriviumError):
    """The crawl cannot begin or go on: wrong address, state of another crawl, output not writable."""


class CrawlConfig(StrictModel):
    """One crawl: addresses in, pages as WARC or JSON Lines in `output`."""

    urls: list[str] = Field(min_length=1)
    """Where to begin; only the hosts named here are visited."""
    output: Path
    contact: str = Field(min_length=5)
    """An address (e-mail or web page) under which a site's owner reaches whoever crawls."""
    format: Literal["jsonl", "warc"] = "jsonl"
    max_pages: int = Field(default=1_000, ge=1)
    max_depth: int = Field(default=5, ge=0)
    """Links from a start page; 0 fetches only the start pages."""
    max_bytes: int = Field(default=200_000_000, ge=1)
    max_page_bytes: int = Field(default=2_000_000, ge=1)
    max_seconds: float = Field(default=3_600, gt=0)
    """Of one run; a later run goes on."""
    page_seconds: float = Field(default=20, gt=0)
    """Longest time for one page, from the first to the last byte."""
    delay_seconds: float = Field(default=1, ge=0)
    """Pause between two requests to one host; a longer `crawl-delay` of robots.txt takes its place."""
    retries: int = Field(default=3, ge=0)
    """Further tries after 429, 5xx or a broken connection."""
    backoff_seconds: float = Field(default=2, ge=0)
    """Pause before the first further try, doubled each time; `Retry-After` takes its place."""
    max_wait_seconds: float = Field(default=120, ge=0)
    """A site that asks to wait longer is left alone: its page counts as failed."""
    content_types: list[str] = ["text/html", "application/xhtml+xml", "text/plain"]

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        for url in self.urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"urls: {url!r} is no http or https address")
        return self

    @property
    def user_agent(self) -> str:
        """Who asks, and where to complain."""
        return f"{ROBOTS_NAME}/0.1 (+{self.contact})"


ROBOTS_NAME = "TriviumCorpus"
"""The name that robots.txt may address."""
