"""Write the comparison: `index.html` (self-contained), `comparison.md`, `comparison.json`, plots as PNG."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from common.files import atomic_write
from common.machine import Machine, this_machine, versions
from common.pages import templates
from common.pages.figures import Criterion, Ranking, rank
from common.pages.panels import PANEL_WIDTH, Panel, png, svg
from training.curriculum.advise import FULL, Advice, Advisor, paired_words
from training.curriculum.aggregate import Row, rows_of
from training.curriculum.figures import criteria
from training.curriculum.plots import COLOURS, Plots
from training.curriculum.prices import PRICE_FILE, MachinePrice
from training.curriculum.records import read_records
from training.curriculum.samples import Sample, samples_of
from training.curriculum.significance import Paired, against
from training.provenance import git_commit

TEMPLATES = Path(__file__).parent / "templates"
PACKAGES = ("torch", "transformers", "peft", "trl", "tokenizers", "sacrebleu")
COLUMNS = (
    "bleu", "chrf", "ser", "trainable", "seconds", "memory", "artifact", "training_cost", "serving_cost",
)  # fmt: skip
SAMPLES = 5


@dataclass(frozen=True, slots=True)
class View:
    """Everything a template needs."""

    rows: list[Row]
    criteria: dict[str, Criterion]
    rankings: dict[str, Ranking]
    paired: dict[str, dict[str, Paired]]
    advice: list[Advice]
    summary: list[tuple[str, str]]
    samples: list[Sample]
    price: MachinePrice
    machine: Machine
    versions: dict[str, str]
    data: dict[str, Any]
    """The data set's card, or its folder alone."""
    missing: list[str]
    created: str
    command: str

    @property
    def columns(self) -> list[Criterion]:
        """Of the table; the serving cost stays where it was not measured, so that the page says so."""
        keep = ("serving_cost",)
        return [self.criteria[key] for key in COLUMNS if self.criteria[key].figures or key in keep]

    @property
    def colours(self) -> dict[str, int]:
        """Technique → number of its colour."""
        return {row.key: COLOURS[row.family] for row in self.rows}

    @property
    def labels(self) -> dict[str, str]:
        """Technique → name for people."""
        return {row.key: row.label for row in self.rows}

    @property
    def seeds(self) -> list[int]:
        """All seeds of the page."""
        return sorted({seed for row in self.rows for seed in row.seeds})

    @property
    def runs(self) -> int:
        """Outcomes of the page."""
        return sum(len(row.records) for row in self.rows)

    def is_best(self, criterion: Criterion, key: str) -> bool:
        """Whether a quality figure is best or cannot be told from the best."""
        ranking = self.rankings.get(criterion.key)
        good = criterion.key in ("bleu", "chrf", "ser")
        return good and ranking is not None and len(ranking.order) > 1 and key in ranking.best

    def words(self, row: Row, criterion: Criterion) -> str:
        """Interval, spread, n and seeds below a quality figure, rates below a serving cost; else empty."""
        if criterion.key == "serving_cost":
            return _rate_words(row)
        found = row.quality.get(criterion.key)
        if found is None:
            return ""
        both = found.low is not None and found.high is not None
        interval = (
            f"[{criterion.number(found.low or 0)}, {criterion.number(found.high or 0)}]" if both else ""
        )
        spread = f", seeds ±{criterion.number(found.spread)}" if found.spread is not None else ""
        return f"{interval} n={found.n}{spread}".strip()

    def paired_words(self, key: str, metric: str) -> str:
        """The comparison with full fine-tuning in words; a dash where there is none."""
        found = self.paired.get(key, {}).get(metric)
        return paired_words(found) if found else "–"

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "schema": "trivium.training-comparison/v1",
            "created": self.created, "command": self.command,
            "machine": self.machine.model_dump(), "versions": self.versions, "data": self.data,
            "techniques": [_row_dict(row) for row in self.rows],
            "against_full": {
                key: {
                    metric: asdict(made) | {"significant": made.significant} for metric, made in found.items()
                }
                for key, found in self.paired.items()
            },
            "best": {key: list(ranking.best) for key, ranking in self.rankings.items()},
            "serving_cost": {
                key: figure.value for key, figure in self.criteria["serving_cost"].figures.items()
            },
            "advice": [asdict(item) for item in self.advice],
            "prices": self.price.model_dump(), "not_measured": self.missing,
        }  # fmt: skip


def make_view(runs: Path, prices: Path, command: str) -> View:
    """Read and compare. Raises OutcomeError and ConfigError."""
    rows, price = rows_of(read_records(runs)), MachinePrice.from_yaml(prices)
    compared = criteria(rows, price)
    paired = against(rows, FULL)
    advisor = Advisor(rows, compared, paired)
    advice = advisor.advice()
    rankings = {key: made for key, criterion in compared.items() if (made := rank(criterion))}
    found = versions(PACKAGES) | ({"commit": commit} if (commit := git_commit()) else {})
    return View(
        rows, compared, rankings, paired, advice, advisor.summary(advice), samples_of(rows, SAMPLES), price,
        this_machine(), found, _data_card(Path(rows[0].first.data)), _missing(rows, compared, paired),
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), command,
    )  # fmt: skip


def write_comparison(runs: Path, output: Path, prices: Path = PRICE_FILE, command: str = "") -> Path:
    """Write all files into `output`; returns the page's path. Raises OutcomeError, ConfigError, FileError."""
    view = make_view(runs, prices, command)
    groups = Plots(view.rows, view.criteria).groups()
    for name, panels in groups.items():
        png(panels, output / f"{name}.png")
    document = json.dumps(view.to_dict(), indent=2, ensure_ascii=False)
    atomic_write(output / "comparison.json", document + "\n")
    atomic_write(output / "comparison.md", _markdown(view, groups))
    page = output / "index.html"
    atomic_write(page, _page(view, groups))
    return page


def _page(view: View, groups: dict[str, list[Panel]]) -> str:
    plots = {
        name: [(panel, Markup(svg(panel)), panel.width > PANEL_WIDTH) for panel in panels]
        for name, panels in groups.items()
    }
    environment = templates.environment(TEMPLATES, autoescape=True)
    return environment.get_template("compare.html.j2").render(view=view, plots=plots, **templates.style())


def _markdown(view: View, groups: dict[str, list[Panel]]) -> str:
    environment = templates.environment(TEMPLATES, autoescape=False)
    return environment.get_template("compare.md.j2").render(view=view, plots=list(groups)).strip() + "\n"


def _data_card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"name": folder.name}
    return dict(card)


def _row_dict(row: Row) -> dict[str, Any]:
    return {
        "technique": row.key, "label": row.label, "family": row.family, "seeds": list(row.seeds),
        "quality": {metric: asdict(figure) for metric, figure in row.quality.items()},
        "trainable_parameters": row.trainable, "total_parameters": row.total,
        "train_seconds": row.seconds, "train_seconds_with_origins": row.whole_seconds,
        "peak_rss_bytes": row.peak_bytes, "artifact_bytes": row.artifact_bytes, "tokens": row.tokens,
        "serving": row.first.serving.model_dump() if row.first.serving else None,
        "details": row.first.details, "command": row.first.command,
    }  # fmt: skip


def _missing(
    rows: list[Row], compared: dict[str, Criterion], paired: dict[str, dict[str, Paired]]
) -> list[str]:
    """What a reader might expect and does not get."""
    lines = []
    unserved = [row.label for row in rows if row.key not in compared["serving_cost"].figures]
    if unserved:
        lines.append(f"Serving cost: no serving rate was measured for {_some(unserved)}.")
    if not any(row.key == FULL for row in rows):
        lines.append("No full fine-tuning among the outcomes: nothing is compared in pairs.")
    else:
        lost = [row.label for row in rows if row.key != FULL and row.key not in paired]
        if lost:
            lines.append(f"Paired test: answers or a common seed are missing for {_some(lost)}.")
    once = [row.label for row in rows if len(row.records) == 1]
    if once:
        lines.append(f"One seed only, so that the spread between seeds is not known: {_some(once)}.")
    if not any(row.family == "prompting" for row in rows):
        lines.append("Prompt engineering: no prompt search is among the outcomes.")
    sizes = {figure.n for row in rows for figure in row.quality.values()}
    if len(sizes) > 1:
        lines.append(f"Techniques were measured on {min(sizes)} to {max(sizes)} inputs, not all on the same.")
    lines.append(
        "Energy was not metered. Times are those of the machine below, other work beside it included."
    )
    return lines


def _rate_words(row: Row) -> str:
    """Tokens per second behind a serving cost, with those of a merged adapter, which cost less."""
    found = row.first.serving
    if found is None:
        return ""
    rounds = (
        f" [{found.low:,.0f}, {found.high:,.0f}]" if found.low is not None and found.high is not None else ""
    )
    merged = f"; merged {found.merged_tokens_per_second:,.0f}" if found.merged_tokens_per_second else ""
    return f"{found.tokens_per_second:,.0f} tokens/s{rounds}{merged}"


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) < 9 else f"{len(names)} techniques"
