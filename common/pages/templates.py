"""Jinja templates with the filters that pages share, and the style of the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from common.pages.theme import DARK, LIGHT, SANS, css_variables


def environment(folder: Path, *, autoescape: bool) -> Environment:
    """Templates of `folder`; filters `size` (bytes in words) and `cell` (one Markdown cell)."""
    made = Environment(
        loader=FileSystemLoader(folder), autoescape=autoescape, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"size": size, "cell": _cell}
    return made


def style() -> dict[str, Markup]:
    """`css`, what a page's `<style>` begins with: the colours of both themes, and the shared rules."""
    light = f"--sans:{SANS};--ground:#f5f6f8;--good:#0f8a5f;--warn:#a15c07;{css_variables(LIGHT)}"
    dark = f"--ground:#0d1115;--good:#43c793;--warn:#e0a341;{css_variables(DARK)}"
    rules = Path(__file__).with_name("style.css").read_text()
    return {
        "css": Markup(f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{rules}")
    }


def size(count: float) -> str:
    """A number of bytes for people."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count:,.0f} B"


def _cell(text: Any) -> str:
    """Text inside a Markdown table or list: one line, no column breaks."""
    return " ".join(str(text).split()).replace("|", "\\|")
