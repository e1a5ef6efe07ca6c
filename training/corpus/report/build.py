"""From counts to report.json and report.html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common.files import atomic_write
from training.corpus.config import CorpusConfig
from training.corpus.funnel import Funnel
from training.corpus.readers import licence_of

_TEMPLATES = Path(__file__).parent / "templates"


def build_report(config: CorpusConfig, funnel: Funnel, written: dict[str, Any]) -> dict[str, Any]:
    """The report as JSON: stages, sources, personal data, languages, licences, and what was `written`."""
    sources = [
        {
            "name": source.name, "reader": source.reader, "path": "/".join(source.path.resolve().parts[-2:]),
            "licence": licence_of(source), "documents": funnel.documents[source.name],
            "rows": funnel.rows[source.name], "rows_kept": funnel.kept_rows[source.name],
            "chars_kept": funnel.kept_chars[source.name], "stages": funnel.stages(source.name),
        }
        for source in config.sources
    ]  # fmt: skip
    return {
        "schema": "trivium.corpus/v1", "name": config.name, "seed": config.seed,
        "settings": config.model_dump(mode="json", exclude={"sources", "output"}),
        "sources": sources, "stages": funnel.stages(),
        "pii": {
            "action": config.pii.action, "entities": config.pii.entities, "rows": funnel.masked_rows,
            "masked": dict(funnel.pii.most_common()),
        },
        "languages": dict(funnel.languages.most_common()),
        "licences": dict(funnel.licences.most_common()),
        **written,
    }  # fmt: skip


def load_report(folder: Path) -> dict[str, Any]:
    """report.json of a prepared corpus."""
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write report.json and report.html (self-contained) into `folder`. Raises FileError."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from training.corpus.report.plots import plots

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["size"] = lambda n: f"{n / 1e6:,.1f} M" if n >= 1e6 else f"{n:,}"
    environment.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    page = environment.get_template("report.html.j2").render(report=report, plots=plots(report))
    atomic_write(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    atomic_write(folder / "report.html", page)
