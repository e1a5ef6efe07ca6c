"""Colours of the plots: real ones for PNG files, stand-ins for the page, where CSS decides (light, dark)."""

from __future__ import annotations

from dataclasses import dataclass

SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours by role; of `lanes`, two neighbours are shades of one hue."""

    ink: str
    muted: str
    line: str
    paper: str
    lanes: tuple[str, ...]

    def lane(self, index: int) -> str:
        """The colour with this index."""
        return self.lanes[index]

    def distinct(self, number: int) -> str:
        """The colour of the `number`-th of several things of equal rank."""
        return self.lanes[distinct(number)]


def distinct(number: int) -> int:
    """Index of a lane for the `number`-th thing: hues first, then their shades."""
    return (0, 4, 6, 2, 1, 5, 7, 3)[number % 8]


LIGHT = Theme(
    ink="#17202a", muted="#5c6873", line="#d9dee3", paper="#ffffff",
    lanes=("#0b6bcb", "#62aef2", "#7c3aed", "#b794f6", "#c2410c", "#f2930d", "#0f8a5f", "#5cc8a0"),
)  # fmt: skip
DARK = Theme(
    ink="#e8edf2", muted="#9aa7b4", line="#2c3640", paper="#141a20",
    lanes=("#5aa9f0", "#a8d3fa", "#a98bfa", "#d3c2fb", "#fb8b4b", "#fbbf5a", "#43c793", "#92e0c2"),
)  # fmt: skip

# Unlikely colours that stand for a CSS variable until `to_css` replaces them.
STAND_IN = Theme(
    ink="#010203", muted="#010204", line="#010205", paper="#010206",
    lanes=tuple(f"#0102{number:02x}" for number in range(16, 16 + len(LIGHT.lanes))),
)  # fmt: skip


def to_css(svg: str) -> str:
    """Replace the stand-ins in an SVG by CSS variables, and its font by the page's."""
    names = {STAND_IN.ink: "ink", STAND_IN.muted: "muted", STAND_IN.line: "line", STAND_IN.paper: "paper"}
    names |= {colour: f"lane-{number}" for number, colour in enumerate(STAND_IN.lanes)}
    for colour, name in names.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.replace("'DejaVu Sans'", "var(--sans)").replace("DejaVu Sans", "var(--sans)")


def css_variables(theme: Theme) -> str:
    """The declarations of a theme, for a CSS rule."""
    values = {"ink": theme.ink, "muted": theme.muted, "line": theme.line, "paper": theme.paper}
    values |= {f"lane-{number}": colour for number, colour in enumerate(theme.lanes)}
    return "".join(f"--{name}:{value};" for name, value in values.items())
