"""Invented venues: which attributes there are, their values, and how a venue is drawn.

The attribute names and the closed sets of values follow the E2E NLG Challenge, so that one slot-error
checker and one prompt format serve both; names, landmarks and all wording are our own.
"""

from __future__ import annotations

from random import Random

Attributes = dict[str, str]

ATTRIBUTES = ("name", "eatType", "food", "priceRange", "customer rating", "area", "familyFriendly", "near")

_FIRST = (
    "Amber", "Copper", "Crooked", "Drowsy", "Hollow", "Lucky", "Merry", "Painted", "Quiet", "Scarlet",
    "Silver",
    "Tipsy", "Velvet", "Wandering", "Whistling",
)  # fmt: skip
_SECOND = (
    "Anchor", "Badger", "Barrel", "Compass", "Fiddle", "Heron", "Kettle", "Lantern", "Orchard", "Pheasant",
    "Saddle",
    "Sparrow", "Thistle", "Walnut",
)  # fmt: skip
_PLAIN = (
    "Bamboo Court", "Bar Marisol", "Basil & Bone", "Café Lumière", "Café Meridian", "Café Ondine",
    "Casa Verano",
    "Fig & Fennel", "Harbour Kitchen", "Juniper House", "Lotus Pavilion", "Marlow's", "Maison Colette",
    "Number Nineteen",
    "Oat & Ember", "Pepperwood", "Saffron House", "Salt & Sorrel", "Sólveig", "Tandoor Terrace",
    "The Long Table",
    "The Ninth Wave", "The Paper Crane", "Trattoria Pino", "Umi", "Willow & Rye", "Zest",
)  # fmt: skip

NAMES = tuple(f"The {first} {second}" for first in _FIRST for second in _SECOND) + _PLAIN

VALUES: dict[str, tuple[str, ...]] = {
    "name": NAMES,
    "eatType": ("restaurant", "pub", "coffee shop", "bistro", "wine bar", "tea room"),
    "food": (
        "English", "French", "Italian", "Indian", "Chinese", "Japanese", "Thai", "Mexican", "Spanish",
        "Greek",
        "Fast food", "Vegetarian",
    ),
    "priceRange": ("cheap", "moderate", "high", "less than £20", "£20-25", "more than £30"),
    "customer rating": ("low", "average", "high", "1 out of 5", "3 out of 5", "5 out of 5"),
    "area": ("city centre", "riverside", "old town", "harbour", "market district"),
    "familyFriendly": ("yes", "no"),
    "near": (
        "Café Lumière", "Castle Gate", "Harlow Park", "Kingsbridge Station", "Marlow Street", "Pepperwood",
        "Queen's Wharf",
        "Rosewood Hotel", "Saffron House", "St Brannoc's Church", "Tanner's Yard", "The Astoria Cinema",
        "The Botanic Garden", "The Copper Lantern", "The Corn Exchange", "The Glass Bridge",
        "The Grand Theatre",
        "The Maritime Museum", "The Paper Crane", "The Old Library", "The Quiet Heron", "Victory Square",
    ),
}  # fmt: skip

# How many attributes a venue has, and which: most have a name and five or so facts, some have very few.
_SIZES = {1: 2, 2: 5, 3: 13, 4: 18, 5: 20, 6: 20, 7: 14, 8: 8}
_WEIGHTS = {
    "eatType": 3.0, "food": 2.5, "priceRange": 2.0, "customer rating": 2.0, "area": 2.0,
    "familyFriendly": 1.5, "near": 1.5,
}  # fmt: skip
_NAMELESS = 0.06


def draw_venue(rng: Random) -> Attributes:
    """A venue with 1 to 8 attributes, in the order of ATTRIBUTES."""
    size = rng.choices(list(_SIZES), list(_SIZES.values()))[0]
    named = size == len(ATTRIBUTES) or rng.random() >= _NAMELESS
    chosen = {"name"} if named else set()
    others = dict(_WEIGHTS)
    while len(chosen) < size and others:
        key = rng.choices(list(others), list(others.values()))[0]
        del others[key]
        chosen.add(key)
    venue = {key: rng.choice(VALUES[key]) for key in ATTRIBUTES if key in chosen}
    while venue.get("near") == venue.get("name") and "near" in venue:
        venue["near"] = rng.choice(VALUES["near"])
    return venue
