"""`python -m tradeoffs demo | evaluate | lane | collect | report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from common import cli
from common.errors import ConfigError
from common.files import atomic_write
from tradeoffs.config import DemoConfig
from tradeoffs.report.cli import report

CONFIGS = Path(__file__).parent / "configs"

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="The main job and the page that compares the roads.",
)  # fmt: skip
app.command()(report)

ConfigFile = Annotated[Path, typer.Option(help="YAML file; see tradeoffs/configs")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value over the file, may be repeated")
]


@app.command()
def demo(
    budget: Annotated[str, typer.Option(help="a file under tradeoffs/configs: demo, e2e, smoke")] = "",
    config: Annotated[Path | None, typer.Option(help="your own YAML file in place of --budget")] = None,
    data: Annotated[Path | None, typer.Option(help="your own data: a file or folder")] = None,
    overrides: Overrides = None,
) -> None:
    """Data, training, signed bundle, three roads, load, report. Started again, it continues where it was."""
    from tradeoffs import run

    path = config or run.config_for(budget, data, CONFIGS)
    run.run_demo(path, [*run.data_overrides(data), *(overrides or [])], Console())


@app.command()
def evaluate(config: ConfigFile, overrides: Overrides = None) -> None:
    """Score the trained model on the dev inputs, in process; fails where it misses its gate."""
    from tradeoffs.evaluate import evaluate as run

    run(DemoConfig.from_yaml(config, overrides))


@app.command()
def lane(
    config: ConfigFile,
    name: Annotated[str, typer.Option("--lane", help="road-format, for example edge-int4")],
    overrides: Overrides = None,
) -> None:
    """Measure one road with one format: parity, quality, load, memory, cold start."""
    from tradeoffs.demo import bundle_folder, data_folder
    from tradeoffs.lane import measure_lane

    settings = DemoConfig.from_yaml(config, overrides)
    lanes = {lane.name: lane for lane in settings.lanes}
    if name not in lanes:
        raise ConfigError(f"--lane {name!r}: {config} has {', '.join(lanes)}")
    references = data_folder(settings.data) / "references-dev.jsonl"
    result = measure_lane(settings, lanes[name], bundle_folder(settings), references)
    atomic_write(settings.folder / "lanes" / name / "lane.json", result.model_dump_json(indent=2))


@app.command()
def collect(config: ConfigFile, overrides: Overrides = None) -> None:
    """Put all measured lanes into one results file, which `report` reads."""
    from tradeoffs.collect import collect as run

    settings = DemoConfig.from_yaml(config, overrides)
    atomic_write(settings.folder / "results.json", run(settings).model_dump_json(indent=2))


if __name__ == "__main__":
    cli.run(app)
