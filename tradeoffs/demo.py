"""The stages of the main job, each a command that a person can type."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from common.config import read_yaml
from common.errors import ConfigError
from common.stages import OptionValue, Stage, State, python_command, run_stages
from tradeoffs.config import DemoConfig, JobConfig

SERVING = ("bundle", "common", "edge", "evaluation", "observability", "roads", "services", "tests/load")

DATA_KEYS = {"output": "data", "name": None}
"""Keys of a data configuration that decide its folder, and their defaults."""


def demo(config: DemoConfig, config_path: Path, overrides: list[str], console: Console) -> State:
    """Run what is not done yet. Raises StageError naming the stage that failed."""
    return run_stages(stages(config, config_path, overrides), config.folder / "state.json", console)


def data_folder(job: JobConfig) -> Path:
    """The folder that the data command writes: `<output>/<name>` of its configuration."""
    values = read_yaml(job.config)
    changed = dict(override.split("=", 1) for override in job.set)
    output, name = (changed.get(key, values.get(key, default)) for key, default in DATA_KEYS.items())
    if not name:
        raise ConfigError(f"{job.config}: key 'name' is missing")
    return Path(str(output)) / str(name)


def stages(config: DemoConfig, config_path: Path, overrides: list[str]) -> list[Stage]:
    """All stages in order. `config_path` and `overrides` are handed on to this room's own commands."""
    mine: dict[str, OptionValue] = {"config": config_path, "set": overrides}
    lanes = [
        Stage(
            name=f"lane {lane.name}",
            title=f"road {lane.road}, format {lane.format}",
            command=python_command("tradeoffs lane", lane=lane.name, **mine),
            outputs=(config.folder / "lanes" / lane.name / "lane.json",),
            inputs=(Path("tradeoffs/lane.py"), Path("tradeoffs/parity.py"), Path("roads/configs")),
            rooms=SERVING,
        )
        for lane in config.lanes
    ]
    return [*_data(config), *_training(config), *_bundle(config, mine), *lanes, *_report(config, mine)]


def _data(config: DemoConfig) -> list[Stage]:
    data, tokenizer = data_folder(config.data), config.folder / "tokenizer"
    return [
        Stage(
            name="data",
            title="data",
            command=python_command("training data", config=config.data.config, set=config.data.set),
            outputs=(data / "card.json",),
            inputs=(config.data.config,),
            rooms=("common", "training/data"),
        ),
        Stage(
            name="tokenizer",
            title="tokenizer",
            command=python_command(
                "training tokenizer", data=data, output=tokenizer, vocab_size=config.tokenizer_vocabulary
            ),
            outputs=(tokenizer / "tokenizer.json",),
            inputs=(Path("training/tokenizer.py"),),
        ),
    ]


def _training(config: DemoConfig) -> list[Stage]:
    data, run = data_folder(config.data), config.folder
    jobs = [
        ("pretrain", "pretraining", config.pretrain, f"tokenizer={run / 'tokenizer'}"),
        ("sft", "fine-tuning on instructions", config.sft, f"from={run / 'pretrain'}"),
    ]
    return [
        Stage(
            name=name,
            title=title,
            command=python_command(
                f"training {name}",
                config=job.config,
                set=[f"data={data}", f"output={run / name}", start, *job.set],
            ),
            outputs=(run / name / "model" / "model.safetensors",),
            inputs=(job.config,),
            rooms=("common", "training"),
            afresh=("--fresh",),
        )
        for name, title, job, start in jobs
    ]


def _bundle(config: DemoConfig, mine: dict[str, OptionValue]) -> list[Stage]:
    data, run, bundle = data_folder(config.data), config.folder, bundle_folder(config)
    metrics, gates = run / "evaluation" / "metrics.json", run / "evaluation" / "gates.json"
    build = python_command(
        "bundle build",
        "--replace",
        model=run / "sft" / "model",
        name=config.bundle.name,
        version=config.bundle.version,
        run=run / "sft",
        data_card=data / "card.json",
        evaluation=metrics,
        gates=gates,
        prompts=data / "references-dev.jsonl",
        golden_count=config.bundle.golden_prompts,
        max_new_tokens=config.bundle.max_new_tokens,
    )
    return [
        Stage(
            name="evaluate",
            title="evaluation against the gate",
            command=python_command("tradeoffs evaluate", **mine),
            outputs=(metrics, gates),
            inputs=(Path("tradeoffs/evaluate.py"),),
            rooms=("common", "evaluation"),
        ),
        Stage("bundle", "bundle", build, outputs=(bundle / "manifest.json",), rooms=("bundle", "common")),
        Stage(
            name="export",
            title="export for the edge: ONNX fp32 and int4",
            command=python_command("edge export", bundle=bundle, variant=["fp32", "int4"]),
            outputs=(bundle / "onnx" / "fp32", bundle / "onnx" / "int4"),
            rooms=("edge",),
        ),
        Stage(
            name="sign",
            title="signature",
            command=python_command("bundle sign", str(bundle)),
            outputs=(bundle / "signature.json",),
        ),
        Stage(
            name="verify",
            title="verification",
            command=python_command("bundle verify", str(bundle)),
            outputs=(bundle,),
            always=True,
        ),
    ]


def _report(config: DemoConfig, mine: dict[str, OptionValue]) -> list[Stage]:
    results = config.folder / "results.json"
    return [
        Stage(
            name="collect",
            title="results of all roads",
            command=python_command("tradeoffs collect", **mine),
            outputs=(results,),
            inputs=(Path("tradeoffs/collect.py"),),
        ),
        Stage(
            name="report",
            title="report",
            command=python_command("tradeoffs report", input=results, output=config.report),
            outputs=(config.report / "index.html",),
            always=True,
        ),
    ]


def bundle_folder(config: DemoConfig) -> Path:
    """Where the job's bundle is."""
    return Path("bundles") / config.bundle.name / config.bundle.version
