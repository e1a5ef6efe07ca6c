"""Write the report: `index.html`, `report.md`, `report.json` and the plots as PNG."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from common.files import atomic_write
from common.pages import templates
from common.pages.panels import Panel, png, svg
from tradeoffs.report.model import Latency, ReportInput
from tradeoffs.report.plots import Plots
from tradeoffs.report.prices import PRICE_FILE, load_prices
from tradeoffs.report.view import View, make_view

TEMPLATES = Path(__file__).with_name("templates")


def write_report(results: ReportInput, output: Path, prices: Path = PRICE_FILE) -> Path:
    """Write all files of the report into `output`; returns the page's path.

    The page needs no server and no other file. Raises ConfigError for a wrong price file, FileError where
    `output` cannot be written.
    """
    view = make_view(results, load_prices(prices))
    groups = Plots(results, view.criteria).groups()
    for name, panels in groups.items():
        png(panels, output / f"{name}.png")
    atomic_write(output / "report.json", json.dumps(view.to_dict(), indent=2, ensure_ascii=False) + "\n")
    atomic_write(output / "report.md", _markdown(view, groups))
    page = output / "index.html"
    atomic_write(page, _page(view, groups))
    return page


def _page(view: View, groups: dict[str, list[Panel]]) -> str:
    environment = _environment(autoescape=True)
    plots = {name: [(panel, Markup(svg(panel))) for panel in panels] for name, panels in groups.items()}
    return environment.get_template("page.html.j2").render(
        view=view,
        report=view.report,
        plots=plots,
        **templates.style(),
    )


def _markdown(view: View, groups: dict[str, list[Panel]]) -> str:
    template = _environment(autoescape=False).get_template("report.md.j2")
    return template.render(view=view, report=view.report, plots=list(groups)).strip() + "\n"


def _environment(*, autoescape: bool) -> Environment:
    environment = templates.environment(TEMPLATES, autoescape=autoescape)
    environment.filters |= {"ms": _ms, "ms_interval": _ms_interval}
    return environment


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.1f}"


def _ms_interval(latency: Latency, percentile: str) -> str:
    """The 95 % interval of a percentile in ms; empty where the sample bounds neither side."""
    low, high = getattr(latency, f"{percentile}_ci95")
    return "" if (low, high) == (None, None) else f"{_ms(low)} to {_ms(high)}".replace("–", "…")
