"""Attribute lists in the E2E form: `name[The Mill], food[French], familyFriendly[no]`."""

from __future__ import annotations

import re
from typing import NamedTuple

SLOTS = ("name", "eatType", "food", "priceRange", "customer rating", "area", "familyFriendly", "near")


class Attribute(NamedTuple):
    """One slot and the value asked for."""

    slot: str
    value: str


_SPELLINGS = {slot.replace(" ", "").lower(): slot for slot in SLOTS}
_ATTRIBUTE = re.compile(
    r"(?<![A-Za-z])"
    r"(name|eat[ _]?type|food|price[ _]?range|customer[ _]?rating|area|family[ _]?friendly|near)"
    r"\s*\[([^\[\]]*)\]",
    re.IGNORECASE,
)


def parse_attributes(text: str) -> list[Attribute]:
    """The attributes in a text, with or without an instruction around them; [] where there are none.

    Slots outside SLOTS are left out, because nothing is known about how they are said.
    """
    return [
        Attribute(_SPELLINGS[re.sub(r"[ _]", "", slot).lower()], value.strip())
        for slot, value in _ATTRIBUTE.findall(text)
        if value.strip()
    ]
