"""Markup to text: HTML by trafilatura (Barbaresi, 2021), wikitext by mwparserfromhell, Markdown by rules."""

from __future__ import annotations

import re

_GUTENBERG_START = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*\*\*\*")
_GUTENBERG_END = re.compile(r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG")

_MARKDOWN_RULES = (
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)"), ""),  # images
    (re.compile(r"\[([^\]\n]+)\]\([^)\n]*\)"), r"\1"),  # links
    (re.compile(r"\[\^[^\]\n]+\]:?"), ""),  # footnote marks
    (re.compile(r"</?[a-zA-Z][^<>\n]*>"), ""),  # inline HTML
    (re.compile(r"^[ \t]{0,3}(?:[-*_][ \t]*){3,}$", re.MULTILINE), ""),  # rules
    (re.compile(r"^[ \t]{0,3}(?:```|~~~).*$", re.MULTILINE), ""),  # fences
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+(.*?)[ \t]*#*$", re.MULTILINE), r"\1"),  # headings
    (re.compile(r"^[ \t]{0,3}>[ \t]?", re.MULTILINE), ""),  # quotations
    (re.compile(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])"), r"\2"),  # *emphasis*
    (re.compile(r"(?<![\w_])(_{1,3})(?=\S)([^_]+?)(?<=\S)\1(?![\w_])"), r"\2"),  # _emphasis_
    (re.compile(r"`([^`\n]+)`"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+.!>~|-])"), r"\1"),  # escapes
    (re.compile(r"&nbsp;"), " "),
)
_WIKI_DROPPED = {"ref", "gallery", "math", "timeline", "score", "syntaxhighlight", "source", "imagemap"}
_WIKI_NAMESPACES = re.compile(r"^\s*:?(file|image|category|datei|bild|kategorie|fichier|catégorie)\s*:", re.I)


def from_html(html: str) -> str:
    """The main text of a page, without navigation, comments and tables; "" where there is none."""
    import trafilatura

    return trafilatura.extract(html, include_comments=False, include_tables=False, deduplicate=False) or ""


def from_fragment(html: str) -> str:
    """All text of a piece of HTML (a post, a feed entry, a chapter), blocks on lines of their own."""
    from lxml import etree
    from lxml import html as parser

    try:
        root = parser.fromstring(f"<div>{html}</div>" if "<html" not in html[:500].lower() else html.encode())
    except (etree.ParserError, etree.XMLSyntaxError, ValueError):
        return ""
    for element in root.xpath("//script | //style | //head | //template"):
        element.drop_tree()
    for element in root.xpath("//br"):
        element.tail = "\n" + (element.tail or "")
    blocks = "//p | //div | //li | //h1 | //h2 | //h3 | //h4 | //h5 | //h6 | //blockquote | //tr | //pre"
    for element in root.xpath(blocks):
        element.tail = "\n\n" + (element.tail or "")
    return str(root.text_content())


def from_wikitext(text: str) -> str:
    """The prose of a wiki page: no templates, tables, references, files, categories."""
    import mwparserfromhell
    from mwparserfromhell.nodes import Tag

    code = mwparserfromhell.parse(text)
    for link in code.filter_wikilinks():
        if _WIKI_NAMESPACES.match(str(link.title)):
            _remove(code, link)
    for tag in code.filter_tags(matches=lambda node: isinstance(node, Tag)):
        if str(tag.tag).strip().lower() in _WIKI_DROPPED | {"table"}:
            _remove(code, tag)
    return str(code.strip_code(normalize=True, collapse=True, keep_template_params=False))


def from_markdown(text: str) -> str:
    """Markdown without its signs; the words stay."""
    for pattern, replacement in _MARKDOWN_RULES:
        text = pattern.sub(replacement, text)
    return text


def strip_gutenberg(text: str) -> str:
    """Without the licence text that Project Gutenberg puts around its books."""
    start, end = _GUTENBERG_START.search(text), _GUTENBERG_END.search(text)
    return text[start.end() if start else 0 : end.start() if end else None]


def _remove(code: object, node: object) -> None:
    try:
        code.remove(node)  # type: ignore[attr-defined]
    except ValueError:
        return  # it went with the node around it
