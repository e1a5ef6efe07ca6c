"""One request with bounds and further tries; and robots.txt (RFC 9309)."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from protego import Protego

from training.corpus.crawl.config import ROBOTS_NAME, CrawlConfig

_ROBOTS_BYTES = 500 * 1024
"""RFC 9309, 2.5: a crawler reads at least this much."""
_TRY_AGAIN = {429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, replaceable so that tests need not wait."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `problem`: why there is no usable body; "" where there is one."""

    url: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    problem: str = ""

    @property
    def content_type(self) -> str:
        """The media type without parameters, lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Fetcher:
    """Fetches pages at the pace that each site asks for."""

    def __init__(self, settings: CrawlConfig, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client = httpx.Client(
            headers={"User-Agent": settings.user_agent, "Accept": ", ".join(settings.content_types)},
            follow_redirects=False, timeout=settings.page_seconds,
        )  # fmt: skip
        self._robots: dict[str, Protego | None] = {}
        self.free_at: dict[str, float] = {}
        """Site → when it may be asked again."""

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def may_fetch(self, url: str, site: str) -> bool:
        """Whether robots.txt allows `url`; a site whose robots.txt cannot be had is not entered."""
        if site not in self._robots:
            self._robots[site] = self._read_robots(url.split(site, 1)[0] + site, site)
        robots = self._robots[site]
        return robots is not None and bool(robots.can_fetch(url, ROBOTS_NAME))

    def delay(self, site: str) -> float:
        """Seconds between two requests to a site."""
        robots = self._robots.get(site)
        asked = robots.crawl_delay(ROBOTS_NAME) if robots else None
        return max(self._settings.delay_seconds, float(asked or 0))

    def get(self, url: str, site: str, headers: dict[str, str] | None = None) -> Answer:
        """The page, after as many tries as the settings allow, each at the site's pace."""
        limit = self._settings.max_page_bytes
        for attempt in range(self._settings.retries + 1):
            answer = self._once(url, site, headers or {}, limit)
            if answer.status not in _TRY_AGAIN and answer.problem != "no connection":
                return answer
            wait = self._wait(answer, attempt)
            if attempt == self._settings.retries or wait > self._settings.max_wait_seconds:
                return (
                    answer
                    if answer.problem
                    else Answer(url, answer.status, problem=f"status {answer.status}")
                )
            self.free_at[site] = self._clock.now() + max(wait, self.delay(site))
        raise AssertionError("unreachable")

    def _once(self, url: str, site: str, headers: dict[str, str], limit: int) -> Answer:
        wait = self.free_at.get(site, 0) - self._clock.now()
        if wait > 0:
            self._clock.sleep(wait)
        try:
            return self._stream(url, headers, limit)
        except httpx.TimeoutException:
            return Answer(url, problem="too slow")
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            return Answer(
                url, problem="no connection" if isinstance(exc, httpx.TransportError) else "bad answer"
            )
        finally:
            self.free_at[site] = self._clock.now() + self.delay(site)

    def _stream(self, url: str, headers: dict[str, str], limit: int) -> Answer:
        deadline = time.monotonic() + self._settings.page_seconds
        with self._client.stream("GET", url, headers=headers) as response:
            answer = Answer(url, response.status_code, dict(response.headers))
            if response.status_code != 200:
                return answer
            length = answer.headers.get("content-length", "")
            if length.isdigit() and int(length) > limit:
                return Answer(url, 200, answer.headers, problem="too large")
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > limit:
                    return Answer(url, 200, answer.headers, problem="too large")
                if time.monotonic() > deadline:
                    return Answer(url, 200, answer.headers, problem="too slow")
            return Answer(url, 200, answer.headers, bytes(body))

    def _wait(self, answer: Answer, attempt: int) -> float:
        asked = answer.headers.get("retry-after", "").strip()
        if asked.isdigit():
            return float(asked)
        if asked:
            date: Any = email.utils.parsedate_to_datetime(asked) if _is_date(asked) else None
            if date is not None:
                return max(0.0, float(date.timestamp()) - self._clock.now())
        return float(self._settings.backoff_seconds * 2**attempt)

    def _read_robots(self, root: str, site: str) -> Protego | None:
        """The rules; none at all where the site has no robots.txt (4xx); None where it fails (5xx)."""
        for _ in range(5):  # RFC 9309, 2.3.1.2: follow at least five redirects
            answer = self.get(f"{root}/robots.txt" if not root.endswith("robots.txt") else root, site)
            if answer.status not in (301, 302, 303, 307, 308):
                break
            root = str(httpx.URL(answer.url).join(answer.headers.get("location", "")))
        if answer.status == 200 and not answer.problem:
            return Protego.parse(answer.body[:_ROBOTS_BYTES].decode("utf-8", "replace"))
        return Protego.parse("") if 300 <= answer.status < 500 and answer.status != 429 else None


def _is_date(text: str) -> bool:
    try:
        email.utils.parsedate_to_datetime(text)
    except ValueError:
        return False
    return True
