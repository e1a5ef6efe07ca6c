"""Which colour a lane has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

ROAD_HUES = {"onprem": 0, "cloud": 1, "edge": 2}
"""Road → pair of `lanes`; every other road takes the last pair."""


def lane_colours(lanes: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Lane key → index into `common.pages.theme.Theme.lanes`, from (key, road) pairs: a hue per road, a
    shade per format."""
    seen: Counter[str] = Counter()
    chosen = {}
    for key, road in lanes:
        chosen[key] = 2 * ROAD_HUES.get(road, 3) + seen[road] % 2
        seen[road] += 1
    return chosen
