"""The command line of the load harness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import cli
from tests.load import console
from tests.load.curve import CurveBounds, curve_table, run_curve
from tests.load.errors import InvalidRunError, LoadError
from tests.load.runner import run_worker
from tests.load.scenario import Scenario
from tests.load.session import Target, run_scenario

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Open-loop load on an OpenAI server, measured from the intended start.",
)  # fmt: skip

ScenarioFile = Annotated[Path, typer.Option("--scenario", help="YAML; see tests/load/scenarios")]
Url = Annotated[str, typer.Option(help="the server, http://HOST:PORT")]
Model = Annotated[str, typer.Option(help="the model id that requests name")]
Output = Annotated[Path, typer.Option(help="folder for result.json and requests.jsonl")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="name=value, may be repeated")]
Inputs = Annotated[Path | None, typer.Option(help="prompts in place of the scenario's own")]
Road = Annotated[str | None, typer.Option(help="whose objectives of the SLO file count")]
Remote = Annotated[bool, typer.Option(help="allow a server that is not this machine")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="scenario key=value, may be repeated")]
Workers = Annotated[int, typer.Option(help="client processes to start here; 0: this one", min=0, max=64)]
RemoteWorkers = Annotated[int, typer.Option(help="workers started by hand to wait for", min=0, max=256)]
Bind = Annotated[str, typer.Option(help="HOST:PORT of the master; Locust's protocol has no login")]


@app.command()
def run(
    scenario: ScenarioFile, url: Url, model: Model, output: Output, header: Headers = None,
    inputs: Inputs = None, road: Road = None, allow_remote: Remote = False, override: Overrides = None,
    workers: Workers = 0, remote_workers: RemoteWorkers = 0, bind: Bind = "127.0.0.1:0",
    require_slo: Annotated[bool, typer.Option(help="exit 1 where the SLO was missed")] = False,
) -> None:  # fmt: skip
    """Run one scenario. Exit 3 where the run is not valid, with the reasons."""
    loaded = Scenario.from_yaml(scenario, override)
    target = Target(url, model, _headers(header), allow_remote, road, inputs, workers, remote_workers, bind)
    result = run_scenario(loaded, scenario.parent, target, output)
    print(console.table(result))
    print(f"written     {output / 'result.json'}, {output / 'requests.jsonl'}")
    if not result["verdict"]["valid"]:
        raise InvalidRunError(f"not valid: {'; '.join(result['verdict']['reasons'])}")
    if require_slo and not result["verdict"]["slo_attained"]:
        raise typer.Exit(1)


@app.command()
def curve(
    scenario: ScenarioFile, url: Url, model: Model, output: Output, header: Headers = None,
    inputs: Inputs = None, road: Road = None, allow_remote: Remote = False, override: Overrides = None,
    workers: Workers = 0,
    start: Annotated[float, typer.Option(help="first rate, requests/s", min=0.01)] = 1.0,
    factor: Annotated[float, typer.Option(help="each rate is this much higher", min=1.05, max=10)] = 2.0,
    seconds: Annotated[float, typer.Option(help="measured time at each rate", min=1, max=600)] = 15.0,
    max_points: Annotated[int, typer.Option(help="give up after so many rates", min=1, max=20)] = 8,
    max_seconds: Annotated[float, typer.Option(help="start no rate after so long", min=1)] = 240.0,
    refine: Annotated[int, typer.Option(help="then so many rates around the capacity", min=0, max=10)] = 0,
) -> None:  # fmt: skip
    """Raise the rate until the server is saturated: the latency-throughput curve."""
    loaded = Scenario.from_yaml(scenario, override)
    target = Target(url, model, _headers(header), allow_remote, road, inputs, workers)
    bounds = CurveBounds(start, factor, seconds, max_points, max_seconds, refine)
    result = run_curve(loaded, scenario.parent, target, output, bounds)
    print(curve_table(result))
    print(f"written     {output / 'curve.json'}")


@app.command()
def worker(
    master: Annotated[str, typer.Option(help="HOST:PORT of the master, as `run` prints or was told to bind")],
) -> None:
    """Lend this machine to a master: run its shard, send the records, end."""
    run_worker(master)


def _headers(pairs: list[str] | None) -> dict[str, str]:
    headers = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not (name + value).isprintable():
            raise LoadError(f"--header {pair!r}: write it as name=value")
        headers[name.strip()] = value.strip()
    return headers


def main() -> None:
    """Run the command line."""
    cli.run(app)
