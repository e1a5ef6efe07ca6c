"""`python -m training lab …`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from common.errors import ConfigError
from common.files import atomic_write
from training.options import Overrides, with_paths

CONFIGS = Path(__file__).parents[1] / "configs"

lab = typer.Typer(
    help="Experiments about training: scaling laws, cost, memory, hardware switches.", no_args_is_help=True
)


@lab.command()
def scaling(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIGS / "lab-scaling.yaml",
    overrides: Overrides = None,
    data: Annotated[Path | None, typer.Option(help="folder of a prepared text data set")] = None,
    output: Annotated[Path | None, typer.Option(help="folder for runs, result.json, plots, page")] = None,
) -> None:
    """Train a grid of sizes and budgets, fit L(N, D), predict a larger run; goes on after an interruption."""
    from training.labs.scaling import scaling_lab, table
    from training.labs.scaling_config import ScalingConfig
    from training.labs.scaling_page import write_page

    settings = ScalingConfig.from_yaml(config, with_paths(overrides, data=data, output=output))
    runs, readings = scaling_lab(settings)
    print(table(runs, readings))
    for path in write_page(settings, runs, readings):
        print(f"written: {path}")


@lab.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(help="folders of pretraining runs, ended or under way")],
    output: Annotated[Path, typer.Option(help="folder for result.json, plots, page")] = Path(
        "reports/pretraining"
    ),
) -> None:
    """Draw perplexity and bits per character of pretraining runs by tokens, and show their samples."""
    from training.labs.curves import figures, read_curve, table
    from training.labs.curves_page import write_page

    read = [read_curve(folder) for folder in runs]
    print(table([figures(curve) for curve in read]))
    for path in write_page(output, read):
        print(f"written: {path}")


@lab.command()
def memory(
    model: Annotated[str, typer.Option(help="size: nano, small, base")] = "nano",
    rows: Annotated[int, typer.Option(help="rows of a micro-batch", min=1)] = 8,
    row_tokens: Annotated[int, typer.Option(help="positions in a row", min=8)] = 256,
    accumulate: Annotated[int, typer.Option(help="micro-batches a step", min=1)] = 1,
    vocabulary: Annotated[int, typer.Option(help="rows of the embedding", min=16)] = 2048,
    precision: Annotated[
        Literal["auto", "bf16", "fp32"], typer.Option(help="numbers to compute with")
    ] = "auto",
    checkpointing: Annotated[bool, typer.Option(help="activation checkpointing")] = False,
    peak_gflops: Annotated[
        float | None, typer.Option(help="matrix-product peak; measured if not given")
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="share of the peak, 0 to 1; measured if not given")
    ] = None,
    check: Annotated[bool, typer.Option(help="train a few shapes and compare with the prediction")] = False,
    threads: Annotated[int, typer.Option(help="0: OMP_NUM_THREADS or all cores", min=0)] = 0,
    output: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Predict memory, FLOPs and tokens/s of a training step; --check measures how good the prediction is."""
    from training.config import resolve_model
    from training.hardware import choose_dtype
    from training.labs import memory_report as reports
    from training.labs.trial import TrialConfig

    number = str(choose_dtype(precision))
    values = {
        "model": resolve_model(model), "rows": rows, "row_tokens": row_tokens, "accumulate": accumulate,
        "vocabulary": vocabulary, "precision": "bf16" if number.endswith("bfloat16") else "fp32",
        "activation_checkpointing": checkpointing, "threads": threads,
    }  # fmt: skip
    config = TrialConfig.from_dict(values, "options")
    speed = reports.measure_speed(config, peak_gflops * 1e9 if peak_gflops else None, share)
    text, result = reports.report(config, speed)
    print(text)
    if check:
        from training.labs.memory_check import check_cases, check_table, compare

        checked = compare(check_cases(threads))
        print(f"\n{check_table(checked)}")
        result["check"] = [
            asdict(one) | {"error": one.error, "speed_error": one.speed_error} for one in checked
        ]
    if output is not None:
        atomic_write(output, json.dumps(result, indent=2) + "\n")
        print(f"written: {output}")


@lab.command()
def switches(
    model: Annotated[str, typer.Option(help="size: nano, small, base")] = "nano",
    rows: Annotated[int, typer.Option(help="rows of a micro-batch", min=1)] = 8,
    row_tokens: Annotated[int, typer.Option(help="positions in a row", min=8)] = 256,
    vocabulary: Annotated[int, typer.Option(help="rows of the embedding", min=16)] = 2048,
    only: Annotated[
        list[str] | None, typer.Option(help="a switch by name; several times for several")
    ] = None,
    rounds: Annotated[int, typer.Option(help="rounds of each side", min=3)] = 5,
    steps: Annotated[int, typer.Option(help="steps in a round", min=1)] = 3,
    threads: Annotated[int, typer.Option(help="0: OMP_NUM_THREADS or all cores", min=0)] = 0,
    output: Annotated[Path, typer.Option(help="JSON file to write")] = Path("reports/bench/switches.json"),
) -> None:
    """Measure every switch of the training step on and off, in turns: tokens/s, peak memory, their ratios."""
    from training.config import resolve_model
    from training.labs import switches as lab_switches
    from training.labs.trial import TrialConfig

    values = {
        "model": resolve_model(model), "rows": rows, "row_tokens": row_tokens, "vocabulary": vocabulary,
        "threads": threads,
    }  # fmt: skip
    base = TrialConfig.from_dict(values, "options")
    known = lab_switches.all_switches(base)
    if wrong := [name for name in only or [] if name not in known]:
        raise ConfigError(f"--only {wrong[0]}: no such switch; known: {', '.join(known)}")
    outcomes = lab_switches.measure_all([known[name] for name in only or known], rounds, steps)
    print(lab_switches.table(outcomes))
    atomic_write(output, json.dumps(lab_switches.as_json(outcomes, base), indent=2) + "\n")
    print(f"written: {output}")


@lab.command()
def cost(
    prices: Annotated[Path, typer.Option(help="YAML file with prices and plans")] = CONFIGS
    / "lab-prices.yaml",
    overrides: Overrides = None,
    output: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
) -> None:
    """Build or buy: FLOPs, hours and cost of training, fine-tuning, LoRA and an API, with break-even."""
    from training.labs.cost import options, table
    from training.labs.cost_config import CostConfig

    config = CostConfig.from_yaml(prices, overrides)
    found = options(config)
    print(table(config, found))
    if output is not None:
        atomic_write(output, json.dumps([asdict(one) for one in found], indent=2) + "\n")
        print(f"written: {output}")
