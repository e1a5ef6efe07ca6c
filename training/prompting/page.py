"""Write the comparison of prompts: `index.html` (self-contained), `comparison.md`, `comparison.json`."""

from __future__ import annotations

import datetime
from collections import defaultdict
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes

from common.files import atomic_write
from common.machine import this_machine
from common.pages import templates
from common.pages.panels import Panel, svg
from common.pages.theme import Theme
from evaluation.prompting.candidates import Candidate
from training.prompting.compare import Comparison, write_json

TEMPLATES = Path(__file__).parent / "templates"


def write_page(made: Comparison, output: Path) -> Path:
    """Write all files; returns the page's path. Raises FileError."""
    write_json(made, output)
    values = {
        "made": made, "machine": this_machine(), "created": datetime.datetime.now(datetime.UTC),
        "best": _best(made),
        "tried": len({trial.candidate for trial in made.search.trials}),
    }  # fmt: skip
    atomic_write(output / "comparison.md", _render("prompts.md.j2", values, autoescape=False).strip() + "\n")
    plots = [(panel, Markup(svg(panel))) for panel in (_intervals(made), _halving(made))]
    page = output / "index.html"
    atomic_write(
        page, _render("prompts.html.j2", {**values, "plots": plots, **templates.style()}, autoescape=True)
    )
    return page


def _render(name: str, values: dict[str, Any], *, autoescape: bool) -> str:
    return templates.environment(TEMPLATES, autoescape=autoescape).get_template(name).render(**values)


def _best(made: Comparison) -> dict[str, set[str]]:
    """Metric → rows whose interval reaches the best value's."""
    found: dict[str, set[str]] = {}
    for metric in made.task.metrics:
        figures = {row.key: row.metric(metric) for row in made.rows}
        higher = next(iter(figures.values())).higher_is_better
        if higher is None:
            continue
        top = (max if higher else min)(figures.values(), key=lambda figure: figure.value)
        found[metric] = {
            key
            for key, figure in figures.items()
            if figure is top
            or (
                None not in (figure.ci_low, figure.ci_high, top.ci_low, top.ci_high)
                and (figure.ci_low or 0) <= (top.ci_high or 0)
                and (top.ci_low or 0) <= (figure.ci_high or 0)
            )
        }
    return found


def _intervals(made: Comparison) -> Panel:
    """The deciding metric of every arm."""
    metric = made.task.deciding
    first = made.rows[0].metric(metric)

    def draw(axes: Axes, theme: Theme) -> None:
        for place, row in enumerate(made.rows):
            figure = row.metric(metric)
            low = figure.value if figure.ci_low is None else figure.ci_low
            high = figure.value if figure.ci_high is None else figure.ci_high
            axes.errorbar(
                figure.value, place, xerr=[[max(0.0, figure.value - low)], [max(0.0, high - figure.value)]],
                fmt="o", ms=6, lw=1.8, color=theme.lane(2 if row.is_learnt else 4),
            )  # fmt: skip
        axes.set_yticks(range(len(made.rows)), [row.label for row in made.rows])
        axes.set_ylim(len(made.rows) - 0.4, -0.6)
        axes.set_xlabel(f"{first.label}, {first.unit}")

    caption = (
        f"Bars: 95 % bootstrap intervals over {made.n} held-out inputs. Purple: learnt; orange: written."
    )
    return Panel("arms", f"{first.label} of each prompt", caption, draw, height=1.2 + 0.34 * len(made.rows))


def _halving(made: Comparison) -> Panel:
    """Every candidate's score against the inputs it was judged by; the best one's line stands out."""
    label = made.rows[0].metric(made.task.deciding).label
    lines: dict[tuple[int, Candidate], list[tuple[int, float]]] = defaultdict(list)
    for trial in made.search.trials:
        lines[trial.round, trial.candidate].append((trial.inputs, trial.score))

    def draw(axes: Axes, theme: Theme) -> None:
        for (number, candidate), points in lines.items():
            chosen = candidate == made.search.best
            colour = theme.lane(4) if chosen else theme.lane(1) if number == 1 else theme.lane(3)
            axes.plot(
                *zip(*points, strict=True), "o-", color=colour, ms=5 if chosen else 3,
                lw=2.2 if chosen else 0.9, alpha=1 if chosen else 0.7, zorder=3 if chosen else 2,
            )  # fmt: skip
        axes.set(xlabel="search inputs it was judged by", ylabel=label, xscale="log")
        ticks = sorted({trial.inputs for trial in made.search.trials})
        shown = [tick for i, tick in enumerate(ticks) if i == 0 or tick > 1.25 * ticks[i - 1]]
        axes.set_xticks(shown, [str(tick) for tick in shown])
        axes.minorticks_off()

    caption = (
        "Each line is a candidate, as far as it came. Blue: first round; violet: later rounds, neighbours of "
        "the best; orange: the prompt that was found. Scores on few inputs are rough and the winner's is "
        "flattered: the table has the held-out figures."
    )
    return Panel("halving", "Successive halving", caption, draw, height=3.6)
