"""Attribute lists such as `name[The Mill], eatType[pub]`: parse, write, and compare regardless of order.

The syntax is the meaning representation of the E2E NLG Challenge (Novikova et al., 2017).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_KEY = r"[A-Za-z][A-Za-z0-9 _-]*"
_PAIR = re.compile(rf"\s*({_KEY}?)\s*\[([^\[\]]*)\]\s*")


class AttributeSyntaxError(ValueError):
    """The text is not an attribute list; `reason` is a short phrase fit for counting."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"{reason}: {where}")
        self.reason = reason


def parse_attributes(text: str) -> dict[str, str]:
    """The attributes in `text`, in order.

    Raises AttributeSyntaxError for broken brackets, an empty value, or a key that occurs twice.
    """
    attributes: dict[str, str] = {}
    position = 0
    while True:
        match = _PAIR.match(text, position)
        if match is None:
            raise AttributeSyntaxError(
                "broken attribute syntax", text[position : position + 40].strip() or "(end)"
            )
        key, value = match[1], match[2].strip()
        if not value:
            raise AttributeSyntaxError("empty attribute value", key)
        if key in attributes:
            raise AttributeSyntaxError("duplicate attribute", key)
        attributes[key] = value
        position = match.end()
        if position == len(text):
            return attributes
        if text[position] != ",":
            raise AttributeSyntaxError("broken attribute syntax", text[position : position + 40])
        position += 1


def format_attributes(attributes: Mapping[str, str]) -> str:
    """The attribute list as text; `parse_attributes` gives it back."""
    return ", ".join(f"{key}[{value}]" for key, value in attributes.items())


def find_attributes(text: str) -> dict[str, str] | None:
    """The attributes of a text whose last line is an attribute list (an instruction may come before)."""
    last_line = text.rstrip().rpartition("\n")[2]
    if not last_line.endswith("]"):
        return None
    try:
        return parse_attributes(last_line)
    except AttributeSyntaxError:
        return None


def canonical_input(text: str) -> str:
    """A form in which equal inputs are equal: the set of attributes, or the text's letters and digits."""
    attributes = find_attributes(text)
    if attributes is not None:
        return "\x1f".join(sorted(f"{key.lower()}={value.lower()}" for key, value in attributes.items()))
    return normalise(text)


def normalise(text: str) -> str:
    """Lower case letters and digits with single spaces; a text without any is only stripped."""
    return " ".join(re.findall(r"\w+", text.lower())) or text.strip()
