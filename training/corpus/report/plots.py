"""The plots of the report as SVG, small enough to stand inside the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, LINE = "#17202a", "#5c6873", "#d9dee3"
COLOURS = ("#0b6bcb", "#c2410c", "#0f8a5f", "#7c3aed", "#f2930d", "#5cc8a0", "#b794f6", "#62aef2")
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9.5, "text.color": INK, "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": LINE, "grid.linewidth": 0.8, "axes.axisbelow": True, "xtick.color": MUTED,
    "ytick.color": MUTED, "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0,
    "ytick.minor.size": 0, "svg.fonttype": "none", "svg.hashsalt": "corpus",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure of the page."""

    title: str
    caption: str
    svg: str


def plots(report: dict[str, Any]) -> list[Plot]:
    """The figures that the report has data for."""
    chosen: list[tuple[str, str, Callable[[Axes, dict[str, Any]], None]]] = [
        (
            "Characters by source",
            "What the filters left (light) and what the mix wrote to train.jsonl (dark).",
            _sources,
        ),
        ("Rows dropped, by stage and reason", "All sources together, logarithmic.", _reasons),
        (
            "Vocabulary growth",
            "Distinct words against words read, repetitions not counted. A flatter line repeats itself more.",
            _growth,
        ),
        (
            "Distinct n-grams",
            "Share of n-grams that are different, on the first 200,000 words of each source (fewer where "
            "it is shorter: its bars are then not comparable).",
            _distinct,
        ),
    ]
    return [Plot(title, caption, _svg(draw, report)) for title, caption, draw in chosen]


def _svg(draw: Callable[[Axes, dict[str, Any]], None], report: dict[str, Any]) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.4), layout="constrained")
        figure.patch.set_alpha(0)
        draw(figure.add_subplot(), report)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Without width and height an SVG fills its column.
    return re.sub(
        r'(<svg [^>]*?) ?width="[^"]*"', r"\1", re.sub(r' height="[^"]*"', "", text, count=1), count=1
    )


def _sources(axes: Axes, report: dict[str, Any]) -> None:
    names = [share["source"] for share in report["mix"]]
    places = range(len(names))
    axes.barh(places, [s["chars_available"] / 1e6 for s in report["mix"]], 0.36, color="#b9d5f2")
    axes.barh(
        [place + 0.38 for place in places], [s["chars_written"] / 1e6 for s in report["mix"]], 0.36,
        color=COLOURS[0],
    )  # fmt: skip
    axes.set_yticks([place + 0.19 for place in places], names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("million characters of the training split")


def _reasons(axes: Axes, report: dict[str, Any]) -> None:
    fallen = [
        (f"{stage['stage']}: {reason}", count)
        for stage in report["stages"]
        for reason, count in stage["reasons"].items()
    ]
    fallen = sorted(fallen, key=lambda item: -item[1])[:12]
    if not fallen:
        axes.text(0.5, 0.5, "no row fell", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.barh([name for name, _ in fallen], [count for _, count in fallen], 0.6, color=COLOURS[1])
    for place, (_, count) in enumerate(fallen):
        axes.text(count * 1.08, place, f"{count:,}", va="center", fontsize=8.5)
    axes.set_xscale("log")
    axes.set_xlim(0.7, 4 * fallen[0][1])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("rows")


def _growth(axes: Axes, report: dict[str, Any]) -> None:
    for number, (name, figures) in enumerate(report["diversity"].items()):
        words, types = zip(*figures["vocabulary_growth"], strict=True)
        axes.plot(words, types, color=COLOURS[number % len(COLOURS)], marker=".", ms=3, lw=1.6, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("words")
    axes.set_ylabel("distinct words")
    axes.legend(frameon=False, fontsize=8.5)


def _distinct(axes: Axes, report: dict[str, Any]) -> None:
    names = list(report["diversity"])
    width = 0.8 / max(1, len(names))
    for number, name in enumerate(names):
        shares = [figure["share"] for figure in report["diversity"][name]["distinct"].values()]
        axes.bar(
            [place + number * width for place in range(len(shares))], shares, width * 0.92,
            color=COLOURS[number % len(COLOURS)], label=name,
        )  # fmt: skip
    sizes = list(next(iter(report["diversity"].values()))["distinct"]) if names else []
    axes.set_xticks(
        [place + width * (len(names) - 1) / 2 for place in range(len(sizes))],
        [f"distinct-{size}" for size in sizes],
    )
    axes.set_ylim(0, 1)
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False, fontsize=8.5)
