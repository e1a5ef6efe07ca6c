"""Plots as panels, each a function that draws on one axes: PNG for documents, SVG for the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from common.files import atomic_path
from common.pages.theme import LIGHT, STAND_IN, Theme, to_css

PANEL_WIDTH = 4.5
"""Inches of 72 points: as wide as a phone, so that text keeps its size there."""

Draw = Callable[[Axes, Theme], None]


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot of the page."""

    name: str
    title: str
    caption: str
    draw: Draw
    height: float = 3.5
    """Inches."""
    width: float = PANEL_WIDTH


def svg(panel: Panel) -> str:
    """The panel as an SVG element whose colours and font come from the page's CSS."""
    with mpl.rc_context(_style(STAND_IN) | {"svg.fonttype": "none", "svg.hashsalt": panel.name}):
        figure = Figure(figsize=(panel.width, panel.height), layout="constrained")
        figure.patch.set_alpha(0)
        _draw(panel, figure.add_subplot(), STAND_IN, title=False)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # The page sets the size: without width and height an SVG fills its column.
    text = re.sub(r'(<svg [^>]*?) ?width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?) ?height="[^"]*"', r"\1", text, count=1)
    return to_css(text)


def png(panels: Sequence[Panel], path: Path) -> None:
    """All panels of a group side by side in one picture, on white. Raises FileError."""
    with mpl.rc_context(_style(LIGHT)):
        width = sum(panel.width for panel in panels)
        figure = Figure(figsize=(width, max(panel.height for panel in panels) + 0.3), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _draw(panel, axes, LIGHT, title=True)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=160, metadata={"Software": None})


def log_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis as people say them (200 k, 1 M); more of them where it is short."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1,) if high > 300 * low else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(_short_number))
    axis.set_minor_formatter(NullFormatter())


def _short_number(value: float, _: object = None) -> str:
    """`20 k`, `1.5 M`."""
    for factor, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"


def _draw(panel: Panel, axes: Axes, theme: Theme, *, title: bool) -> None:
    panel.draw(axes, theme)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold", color=theme.ink)


def _style(theme: Theme) -> dict[str, Any]:
    return {
        "font.family": "DejaVu Sans", "font.size": 9.5, "text.color": theme.ink,
        "axes.edgecolor": theme.line, "axes.labelcolor": theme.muted, "axes.facecolor": "none",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
        "grid.color": theme.line, "grid.linewidth": 0.8, "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelcolor": theme.muted, "ytick.labelcolor": theme.ink, "figure.facecolor": theme.paper,
        "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0,
    }  # fmt: skip
