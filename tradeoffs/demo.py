"""The stages of the main job, each a command that a person can type."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from common.config import read_yaml
from common.errors import ConfigError
from tradeoffs.config import DemoConfig, JobConfig
from tradeoffs.stages import Stage, State, run_stages

SERVING = ("bundle", "common", "edge", "evaluation", "observability", "roads", "services", "tests/load")


def demo(config: DemoConfig, config_path: Path, overrides: list[str], console: Console) -> State:
    """Run what is not done yet. Raises StageError naming the stage that failed."""
    return run_stages(stages(config, config_path, overrides), config.folder / "state.json", console)


def data_folder(job: JobConfig) -> Path:
    """The folder that the data command writes: `<output>/<name>` of its configuration."""
    values = read_yaml(job.config)
    changed = dict(override.split("=", 1) for override in job.set)
    try:
        return Path(changed.get("output", values.get("output", "data"))) / changed.get("name", values["name"])
    except KeyError as exc:
        raise ConfigError(f"{job.config}: key 'name' is missing") from exc


def stages(config: DemoConfig, config_path: Path, overrides: list[str]) -> list[Stage]:
    """All stages in order. `config_path` and `overrides` are handed on to this room's own commands."""
    mine = ("--config", str(config_path), *(text for value in overrides for text in ("--set", value)))
    lanes = [
        Stage(
            name=f"lane {lane.name}",
            title=f"road {lane.road}, format {lane.format}",
            command=_python("tradeoffs", "lane", *mine, "--lane", lane.name),
            outputs=(config.folder / "lanes" / lane.name / "lane.json",),
            inputs=(Path("tradeoffs/lane.py"), Path("tradeoffs/parity.py"), Path("roads/configs")),
            rooms=SERVING,
        )
        for lane in config.lanes
    ]
    return [*_training(config), *_bundle(config, mine), *lanes, *_report(config, mine)]


def _training(config: DemoConfig) -> list[Stage]:
    data, run = data_folder(config.data), config.folder
    rooms = ("common", "training")
    tokenizer = run / "tokenizer"
    vocabulary = str(config.tokenizer_vocabulary)
    return [
        Stage(
            "data",
            "data",
            _python("training", "data", "--config", str(config.data.config), *_sets(config.data.set)),
            outputs=(data / "card.json",),
            inputs=(config.data.config,),
            rooms=("common", "training/data"),
        ),
        Stage(
            "tokenizer",
            "tokenizer",
            _python(
                "training",
                "tokenizer",
                "--data",
                str(data),
                "--output",
                str(tokenizer),
                "--vocab-size",
                vocabulary,
            ),
            outputs=(tokenizer / "tokenizer.json",),
            inputs=(Path("training/tokenizer.py"),),
        ),
        Stage(
            "pretrain",
            "pretraining",
            _python(
                "training",
                "pretrain",
                "--config",
                str(config.pretrain.config),
                *_sets(
                    [
                        f"data={data}",
                        f"output={run / 'pretrain'}",
                        f"tokenizer={tokenizer}",
                        *config.pretrain.set,
                    ]
                ),
            ),
            outputs=(run / "pretrain" / "model" / "model.safetensors",),
            inputs=(config.pretrain.config,),
            rooms=rooms,
            afresh=("--fresh",),
        ),
        Stage(
            "sft",
            "fine-tuning on instructions",
            _python(
                "training",
                "sft",
                "--config",
                str(config.sft.config),
                *_sets(
                    [f"data={data}", f"output={run / 'sft'}", f"from={run / 'pretrain'}", *config.sft.set]
                ),
            ),
            outputs=(run / "sft" / "model" / "model.safetensors",),
            inputs=(config.sft.config,),
            rooms=rooms,
            afresh=("--fresh",),
        ),
    ]


def _bundle(config: DemoConfig, mine: tuple[str, ...]) -> list[Stage]:
    data, run, bundle = data_folder(config.data), config.folder, bundle_folder(config)
    evaluation = run / "evaluation"
    return [
        Stage(
            "evaluate",
            "evaluation against the gate",
            _python("tradeoffs", "evaluate", *mine),
            outputs=(evaluation / "metrics.json", evaluation / "gates.json"),
            inputs=(Path("tradeoffs/evaluate.py"),),
            rooms=("common", "evaluation"),
        ),
        Stage(
            "bundle",
            "bundle",
            _python(
                "bundle",
                "build",
                "--model",
                str(run / "sft" / "model"),
                "--name",
                config.bundle.name,
                "--version",
                config.bundle.version,
                "--run",
                str(run / "sft"),
                "--data-card",
                str(data / "card.json"),
                "--evaluation",
                str(evaluation / "metrics.json"),
                "--gates",
                str(evaluation / "gates.json"),
                "--prompts",
                str(data / "references-dev.jsonl"),
                "--golden-count",
                str(config.bundle.golden_prompts),
                "--max-new-tokens",
                str(config.bundle.max_new_tokens),
                "--replace",
            ),
            outputs=(bundle / "manifest.json",),
            rooms=("bundle", "common"),
        ),
        Stage(
            "export",
            "export for the edge: ONNX fp32 and int4",
            _python("edge", "export", "--bundle", str(bundle), "--variant", "fp32", "--variant", "int4"),
            outputs=(bundle / "onnx" / "fp32", bundle / "onnx" / "int4"),
            rooms=("edge",),
        ),
        Stage(
            "sign",
            "signature",
            _python("bundle", "sign", str(bundle)),
            outputs=(bundle / "signature.json",),
        ),
        Stage("verify", "verification", _python("bundle", "verify", str(bundle)), outputs=(bundle,)),
    ]


def _report(config: DemoConfig, mine: tuple[str, ...]) -> list[Stage]:
    results = config.folder / "results.json"
    command = _python("tradeoffs", "report", "--input", str(results), "--output", str(config.report))
    return [
        Stage(
            "collect",
            "results of all roads",
            _python("tradeoffs", "collect", *mine),
            outputs=(results,),
            inputs=(Path("tradeoffs/collect.py"),),
        ),
        Stage("report", "report", command, outputs=(config.report / "index.html",), always=True),
    ]


def bundle_folder(config: DemoConfig) -> Path:
    """Where the job's bundle is."""
    return Path("bundles") / config.bundle.name / config.bundle.version


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def _sets(values: list[str]) -> list[str]:
    return [text for value in values for text in ("--set", value)]
