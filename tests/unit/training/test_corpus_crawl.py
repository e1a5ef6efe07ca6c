"""The crawler against a site on loopback: robots.txt, pace, redirects, loops, bounds, resumption."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from training.corpus.config import SourceConfig
from training.corpus.crawl.config import CrawlConfig, CrawlError
from training.corpus.crawl.crawler import Crawler, CrawlResult
from training.corpus.crawl.fetch import Clock
from training.corpus.crawl.urls import normalise_url, read_links
from training.corpus.readers import read_source

pytestmark = pytest.mark.unit

_LINKS = (
    "/a",
    "/private/x",
    "/moved",
    "/loop1",
    "/missing",
    "/slow",
    "/big",
    "/picture",
    "/busy",
    "http://x.example/",
)


def page(*links: str) -> bytes:
    return ("<html><body><p>text</p>" + "".join(f'<a href="{link}">x</a>' for link in links)).encode()


class Site(ThreadingHTTPServer):
    """A site that remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        redirects = {"/moved": "/b", "/loop1": "/loop2", "/loop2": "/loop1"}
        pages = {"/": page(*_LINKS), "/a": page("/", "/b#part"), "/b": page(), "/big": b"x" * 50_000}
        if self.path == "/robots.txt":
            self._send(200, b"User-agent: *\nDisallow: /private/\nCrawl-delay: 3\n", "text/plain")
        elif self.path == "/" and self.headers.get("If-None-Match") == '"1"':
            self._send(304)
        elif self.path in redirects:
            self._send(302, location=redirects[self.path])
        elif self.path == "/busy" and self.server.asked.count("/busy") == 1:
            self._send(429, retry_after="7")
        elif self.path == "/busy" or self.path in pages:
            self._send(200, pages.get(self.path, page()), "text/html", etag='"1"')
        elif self.path == "/picture":
            self._send(200, b"x", "image/png")
        elif self.path == "/slow":
            self._drip()
        else:
            self._send(404)

    def _send(self, status: int, body: bytes = b"", kind: str = "text/html", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        try:
            for _ in range(30):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        except OSError:
            return


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Time:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 1e9
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(round(seconds, 3))
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep)


def crawl(site: Site, output: Path, clock: Time, *, refresh: bool = False, **settings: object) -> CrawlResult:
    values = {"urls": [site.url], "output": output, "contact": "me@example.org", "max_page_bytes": 20_000,
              "page_seconds": 0.8, **settings}  # fmt: skip
    crawler = Crawler(CrawlConfig.from_dict(values, "test"), clock.clock)
    return crawler.run(refresh=refresh, progress=False)


@pytest.mark.parametrize(
    ("form", "reader", "file"), [("jsonl", "rows", "pages.jsonl"), ("warc", "warc", "pages.warc.gz")]
)
def test_a_crawl_is_polite_bounded_and_goes_on(
    site: Site, tmp_path: Path, form: str, reader: str, file: str
) -> None:
    clock = Time()
    first = crawl(site, tmp_path, clock, format=form, max_pages=2)
    assert (first.stored, first.ended) == (2, "2 pages (max_pages)")
    with (tmp_path / file).open("ab") as stream:
        stream.write(b"torn by a kill")
    second = crawl(site, tmp_path, clock, format=form)
    assert (second.stored, second.waiting) == (4, 0)
    assert set(second.left_out) == {
        ("redirect", "", 3), ("failed", "status 404", 1), ("failed", "too large", 1),
        ("failed", "too slow", 1), ("left out", "robots.txt", 1), ("left out", "type image/png", 1),
    }  # fmt: skip
    asked = [path for path in site.asked if path not in ("/robots.txt", "/busy")]
    assert len(asked) == len(set(asked)), "a page was fetched twice"
    assert "/private/x" not in asked
    assert 7 in clock.pauses
    assert clock.pauses.count(3) >= 8
    source = SourceConfig.from_dict({"name": "s", "reader": reader, "path": tmp_path}, "test")
    assert len(list(read_source(source))) == 4


def test_a_second_look_asks_only_for_what_changed(site: Site, tmp_path: Path) -> None:
    crawl(site, tmp_path, Time(), max_depth=0)
    size = (tmp_path / "pages.jsonl").stat().st_size
    assert crawl(site, tmp_path, Time(), max_depth=0, refresh=True).stored == 1
    assert (tmp_path / "pages.jsonl").stat().st_size == size
    with pytest.raises(CrawlError, match="another output folder"):
        crawl(site, tmp_path, Time(), urls=[f"{site.url}/a"])


def test_addresses_have_one_form_and_orders_of_a_page_are_obeyed() -> None:
    assert normalise_url("HTTP://Host:80/a#b") == "http://host/a"
    assert normalise_url("mailto:x@y.z") is None
    html = b'<meta name="robots" content="noindex"><a href="/a">x</a><a rel="nofollow" href="/b">y</a>'
    links = read_links("http://h/", html)
    assert (links.urls, links.keep) == (("http://h/a",), False)
