"""`python -m training align {pairs,read,reward,dpo,rlhf,judge,curve}`; `--help` on each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from training.options import Data, Fresh, Output, Overrides, Start, with_paths
from training.outcome import NAME as OUTCOME

CONFIGS = Path(__file__).parents[1] / "configs"
Pairs = Annotated[Path | None, typer.Option(help="folder of pairs; made from the task where none is given")]
_RUN_FILES = (
    "config.json", "result.json", OUTCOME, "metrics.jsonl", "examples.jsonl", "mlflow-run.txt",
    "reference-train.safetensors", "reference-dev.safetensors", "curve.json", "curve.png",
)  # fmt: skip

align = typer.Typer(
    help="Preferences and rewards: pairs, reward model, DPO, RLHF.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@align.command("pairs")
def pairs_command(
    config: Annotated[Path, typer.Option(help="YAML file")] = CONFIGS / "align-pairs.yaml",
    start: Start = None,
    overrides: Overrides = None,
    data: Data = None,
    output: Output = None,
) -> None:
    """Make preference pairs from the task: sample answers, score them, pair best against worst."""
    from training.alignment.config import MakePairsConfig
    from training.alignment.make_pairs import pairs_folder
    from training.alignment.tasks import load_start
    from training.hardware import choose_device, set_threads

    settings = MakePairsConfig.from_yaml(
        config, with_paths(overrides, **{"from": start}, data=data, output=output)
    )
    set_threads(settings.threads)
    begin = load_start(settings.start)
    begin.model.to(choose_device())
    pairs_folder(begin, settings.data, settings.output, settings.make, settings.seed)
    print((settings.output / "report.json").read_text(encoding="utf-8").rstrip())


@align.command("read")
def read_command(
    source: Annotated[Path, typer.Argument(help="hh-rlhf, instruction or JSON Lines file, or a folder")],
    output: Annotated[Path, typer.Option(help="folder of pairs to write")],
    held_out: Annotated[float, typer.Option(min=0.001, max=0.999, help="share of the inputs in dev")] = 0.1,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    chats: Annotated[
        Path | None, typer.Option(help="file for the training pairs' chosen answers, to fine-tune on first")
    ] = None,
) -> None:
    """Convert published preference data into a folder of pairs; bad rows are counted with reasons."""
    from training.alignment.readers import read_source
    from training.alignment.records import collect, read_pairs, write_chats, write_pairs

    collected = collect(read_source(source))
    write_pairs(output, collected, held_out, seed, {"source": source.name})
    if chats is not None:
        write_chats(chats, read_pairs(output / "train.jsonl"))
    print((output / "report.json").read_text(encoding="utf-8").rstrip())


def _learn_from_pairs(name: str, text: str) -> None:
    """Add one of the two commands that learn from pairs: they take the same options."""

    @align.command(name, help=text)
    def command(
        config: Annotated[Path, typer.Option(help="YAML file")] = CONFIGS / f"align-{name}.yaml",
        start: Start = None,
        overrides: Overrides = None,
        data: Data = None,
        output: Output = None,
        pairs: Pairs = None,
        fresh: Fresh = False,
    ) -> None:
        from training.alignment.config import PreferenceConfig, RewardModelConfig
        from training.alignment.preference import align_preference
        from training.alignment.reward_job import train_reward_model

        changes = with_paths(overrides, **{"from": start}, data=data, output=output, pairs=pairs)
        if name == "reward":
            model = RewardModelConfig.from_yaml(config, changes)
            _prepare_folder(model.output, fresh=fresh)
            train_reward_model(model)
        else:
            policy = PreferenceConfig.from_yaml(config, changes)
            _prepare_folder(policy.output, fresh=fresh)
            align_preference(policy)


_learn_from_pairs(
    "reward", "Train a reward model on preference pairs (Bradley-Terry); accuracy on held-out pairs."
)
_learn_from_pairs("dpo", "Learn from preference pairs directly: DPO, or with --set loss=… IPO, KTO, ORPO.")


@align.command("rlhf")
def rlhf_command(
    config: Annotated[
        Path, typer.Option(help="YAML file: align-grpo, align-rloo, align-ppo, align-overoptimise")
    ] = CONFIGS / "align-grpo.yaml",
    start: Start = None,
    overrides: Overrides = None,
    data: Data = None,
    output: Output = None,
    reward_model: Annotated[Path | None, typer.Option(help="run folder of `align reward`")] = None,
    fresh: Fresh = False,
) -> None:
    """Reinforcement learning on a verifiable reward or a reward model: GRPO, RLOO or PPO."""
    from training.alignment.config import RlhfConfig
    from training.alignment.rlhf import align_rlhf

    changes = with_paths(overrides, **{"from": start}, data=data, output=output, reward_model=reward_model)
    settings = RlhfConfig.from_yaml(config, changes)
    _prepare_folder(settings.output, fresh=fresh)
    align_rlhf(settings)


@align.command("judge")
def judge_command(
    policy: Annotated[Path, typer.Option(help="run or model folder")],
    against: Annotated[Path, typer.Option(help="run or model folder to compare with")],
    data: Annotated[Path, typer.Option(help="folder of a prepared data set")],
    inputs: Annotated[int | None, typer.Option(min=2, help="dev inputs; all by default")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    greedy: Annotated[bool, typer.Option(help="greedy answers alone: no samples, no KL")] = False,
) -> None:
    """Win rates of one model over another on dev inputs, with intervals, and the KL between them."""
    from training.alignment.assess import assess, assess_greedy
    from training.alignment.config import JudgeConfig
    from training.alignment.tasks import dev_inputs, load_start
    from training.hardware import choose_device, set_threads

    set_threads(0)
    start, challenger = load_start(against), load_start(policy)
    start.model.to(choose_device())
    challenger.model.to(choose_device())
    asked, settings = dev_inputs(data), JudgeConfig(inputs=inputs)
    if greedy:
        report = assess_greedy(challenger.model, start, asked, settings, seed)
    else:
        report = assess(challenger.model, start, asked, settings, None, seed).report()
    print(json.dumps(report, indent=2))


@align.command("curve")
def curve_command(
    run: Annotated[Path, typer.Argument(help="run folder of `align rlhf` with a reward model")],
) -> None:
    """Plot proxy and gold reward of a run against the KL to the start model (curve.json, curve.png)."""
    from training.alignment.curve import write_curve

    print(json.dumps(write_curve(run), indent=2))


def _prepare_folder(output: Path, *, fresh: bool) -> None:
    """With `fresh`, forget an earlier run."""
    if not fresh:
        return
    for name in ("checkpoints", "model", "pairs"):
        shutil.rmtree(output / name, ignore_errors=True)
    from training.measure import ANSWERS

    for name in (*_RUN_FILES, ANSWERS):
        (output / name).unlink(missing_ok=True)
