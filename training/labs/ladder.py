"""Train one size with every budget of a lab, each budget as an ordinary, resumable pretraining run.

The schedule is warm-up, stable, decay: until its decay begins, a long run does exactly what a shorter one did
(Hu et al. 2024, arXiv 2404.06395; Hägele et al. 2024, arXiv 2405.18392). So each run starts from the
checkpoint that the next shorter one saved where its decay began. What comes out is bit for bit what a run
from nothing gives (tested), for a third of the work less; each end has had its own full decay, as the law
demands. Cosine runs would have to be trained from nothing for every budget.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from training.checkpoint import Checkpoints
from training.config import CheckpointConfig, EvaluationConfig, PretrainConfig
from training.examples import ChatTokenizer
from training.job import finished_result, identity_of
from training.labs.arithmetic import non_embedding_count, training_flops
from training.labs.scaling_config import ScalingConfig, SizeConfig
from training.optim import OptimizerConfig
from training.pretrain import pretrain

_JOB = "pretrain"
_CHECKPOINTS_PER_RUN = 4


@dataclass(frozen=True, slots=True)
class LabRun:
    """What a finished run says about N, D and L."""

    name: str
    total: int
    """Parameters with the embedding."""
    non_embedding: int
    tokens: int
    """Positions trained on, without padding."""
    loss: float
    """Dev loss, nats per token."""
    flops: float
    """Counted part by part (`training/labs/arithmetic.py`)."""
    seconds: float
    """As if trained from nothing."""
    held_out: bool = False

    def parameters(self, count: str) -> int:
        """N, counted as `count` says: `total` or `non_embedding`."""
        return self.total if count == "total" else self.non_embedding


def train_ladder(
    config: ScalingConfig, size: SizeConfig, budgets: list[int], *, held_out: bool = False
) -> list[LabRun]:
    """Train (or find finished) `size` with all `budgets`, shortest first."""
    done = []
    previous: PretrainConfig | None = None
    for tokens in budgets:
        settings = run_settings(config, size, tokens)
        if previous is not None:
            branch(config, previous, settings)
        done.append(_read(config, settings, pretrain(settings), held_out))
        previous = settings
    return done


def run_settings(config: ScalingConfig, size: SizeConfig, tokens: int) -> PretrainConfig:
    """The pretraining job of one size and budget."""
    steps = config.steps(tokens)
    model = size.model(config.batch.row_tokens)
    optimizer = OptimizerConfig(
        lr=size.lr, schedule="wsd", warmup_share=config.warmup_steps / steps, decay_share=config.decay_share
    )
    every = checkpoint_every(config.decay_start(steps))
    return PretrainConfig(
        data=config.data, output=config.output / "runs" / f"n{non_embedding_count(model)}-d{tokens}",
        tokenizer=config.output / "tokenizer", model=model, seed=config.seed, max_steps=steps,
        precision=config.precision, compile="never", threads=config.threads, batch=config.batch,
        optimizer=optimizer, mlflow=False,
        evaluation=EvaluationConfig(every=steps, max_batches=config.dev_batches, samples=0),
        checkpoint=CheckpointConfig(every=every, keep=steps // every + 1),
    )  # fmt: skip


def checkpoint_every(decay_start: int) -> int:
    """Steps between checkpoints, such that one falls on the start of the decay."""
    return next(
        decay_start // parts for parts in range(_CHECKPOINTS_PER_RUN, 0, -1) if decay_start % parts == 0
    )


def branch(config: ScalingConfig, shorter: PretrainConfig, longer: PretrainConfig) -> None:
    """Give `longer` the state that `shorter` had when its decay began, unless it has a later one."""
    identities = [identity_of(_JOB, run, config.output / "tokenizer") for run in (shorter, longer)]
    if finished_result(longer, identities[1]):
        return
    source = Checkpoints(shorter.output / "checkpoints", identities[0], shorter.checkpoint.keep)
    target = Checkpoints(longer.output / "checkpoints", identities[1], longer.checkpoint.keep)
    path = source.folder / f"step-{config.decay_start(shorter.max_steps or 1):08d}"
    if target.newest() is not None or not (path / "state.json").is_file():
        return  # the second: someone has tidied up; the run then starts from nothing and ends the same
    progress, tensors = source.load(path)
    # `random` is not among the tensors: `load` has set it, `save` takes it up again.
    target.save(progress, tensors)
    print(
        f"{longer.output.name}: branches off {shorter.output.name} at step {progress.step}", file=sys.stderr
    )


def _read(config: ScalingConfig, run: PretrainConfig, result: dict[str, Any], held_out: bool) -> LabRun:
    model = run.model
    assert not isinstance(model, str)
    vocabulary = int(result["vocab_size"])
    return LabRun(
        name=run.output.name, total=int(result["parameters"]), non_embedding=non_embedding_count(model),
        tokens=int(result["tokens"]), loss=float(result["dev_loss"]),
        flops=training_flops(model, vocabulary, config.batch.row_tokens) * int(result["tokens"]),
        seconds=float(result["wall_seconds"]), held_out=held_out,
    )  # fmt: skip


def make_tokenizer(config: ScalingConfig) -> ChatTokenizer:
    """The tokenizer that all runs share, trained once."""
    from training.tokenizer import train_tokenizer

    folder = config.output / "tokenizer"
    if not (folder / "tokenizer.json").is_file():
        train_tokenizer(config.data, folder, config.vocabulary)
    return ChatTokenizer(folder)
