"""Addresses: one form for each page, and the links of a page."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit, urlunsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_URL_CHARS = 2_000
"""Longer addresses are traps more often than pages."""


@dataclass(frozen=True, slots=True)
class Links:
    """What a page says: where it leads, and whether it may be kept."""

    urls: tuple[str, ...]
    keep: bool


def normalise_url(url: str, base: str = "") -> str | None:
    """The absolute address without fragment and default port, scheme and host in lower case.

    None where it is no http address, cannot be parsed or is endless.
    """
    try:
        parts = urlsplit(urljoin(base, url.strip()))
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if scheme not in _DEFAULT_PORTS or not host:
        return None
    place = host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    result = urlunsplit((scheme, place, parts.path or "/", parts.query, ""))
    return result if len(result) <= _MAX_URL_CHARS else None


def site_of(url: str) -> str:
    """Host and port: what robots.txt and the pace belong to."""
    return urlsplit(url).netloc.lower()


def read_links(url: str, html: bytes, robots_header: str = "") -> Links:
    """The links of a page in order, each once; `nofollow` and `noindex` of page and header are obeyed."""
    from lxml import etree
    from lxml import html as parser

    orders = robots_header.lower()
    try:
        root = parser.fromstring(html)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return Links((), "noindex" not in orders)
    for meta in root.xpath("//meta[@name and @content]"):
        if meta.get("name").lower() == "robots":
            orders += "," + meta.get("content").lower()
    base = next(iter(root.xpath("//base/@href")), url)
    found: dict[str, None] = {}
    if "nofollow" not in orders and "none" not in orders:
        for link in root.xpath("//a[@href]"):
            target = normalise_url(link.get("href"), urljoin(url, base))
            if target and "nofollow" not in (link.get("rel") or "").lower():
                found.setdefault(target)
    return Links(tuple(found), "noindex" not in orders and "none" not in orders)
