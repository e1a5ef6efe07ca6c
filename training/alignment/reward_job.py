"""`python -m training align reward`: a model that scores answers, learned from preference pairs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.alignment.config import RewardModelConfig
from training.alignment.pairwise import (
    PairRows,
    PairStream,
    batches_of,
    by_pair,
    open_pair_job,
    packed_pairs,
    pair_facts,
)
from training.alignment.reward_model import RewardModel, bradley_terry, ends_of, save_reward_model
from training.alignment.runs import finished_result, parameter_count, run_steps, update, write_result
from training.layout import load_model
from training.optim import FlatAdamW
from training.packing import Batch


def train_reward_model(settings: RewardModelConfig) -> dict[str, Any]:
    """Run the job; returns its result."""
    job, start = open_pair_job("reward", settings)
    if result := finished_result(job):
        print(f"already done: {summary(result)}")
        return result
    train, dev = packed_pairs(job, settings, start, after=(start.eos,))
    model = RewardModel(load_model(start.folder)).to(job.device)
    optimizer = FlatAdamW(model, settings.optimizer, torch.float32)
    stream = PairStream(train, settings.rows, job.device)
    total = stream.steps(settings)

    def take_step(step: int) -> dict[str, float]:
        batch, numbers = stream.at(step)
        chosen, rejected = pair_rewards(model, batch, numbers, train)
        loss = bradley_terry(chosen, rejected).mean()
        norm = update(job, optimizer, loss, step, total)
        accuracy = (chosen > rejected).float().mean().item()
        return {"loss": loss.item(), "accuracy": accuracy, "grad_norm": norm, "tokens": batch.real_tokens}

    progress = run_steps(job, optimizer, total, take_step)
    measured, mean, std = measure(model, dev, settings.rows, job.device)
    weights = optimizer.master_weights(model)
    save_reward_model(job.output / "model", weights, model.trunk, start.tokenizer, mean, std)
    result = write_result(job, {
        **pair_facts(train, dev, total), "tokens": progress.tokens, "wall_seconds": progress.seconds,
        "parameters": parameter_count(model), **measured, "reward_mean": mean, "reward_std": std,
    })  # fmt: skip
    print(summary(result))
    return result


def pair_rewards(model: RewardModel, batch: Batch, numbers: Tensor, data: PairRows) -> tuple[Tensor, Tensor]:
    """Raw scores of the chosen and the rejected answers of a batch, [B] each."""
    scores = model(batch, ends_of(data.rows, numbers).to(batch.tokens.device))
    both, _ = by_pair(scores, numbers, data.each)
    return both[:, 0], both[:, 1]


@torch.no_grad()
def measure(
    model: RewardModel, dev: PairRows, rows: int, device: torch.device
) -> tuple[dict[str, Any], float, float]:
    """Accuracy on held-out pairs with its interval, and mean and deviation of their raw scores.

    The interval is Wilson's (1927) 95 % for a proportion; equal scores count as wrong.
    """
    from scipy.stats import binomtest

    found = [pair_rewards(model, batch, numbers, dev) for batch, numbers in batches_of(dev, rows, device)]
    chosen, rejected = (torch.cat([part[side] for part in found]).cpu() for side in (0, 1))
    right = int((chosen > rejected).sum())
    interval = binomtest(right, len(chosen)).proportion_ci(method="wilson")
    every = torch.cat((chosen, rejected))
    measured = {
        "accuracy": right / len(chosen), "accuracy_low": float(interval.low),
        "accuracy_high": float(interval.high), "dev_loss": bradley_terry(chosen, rejected).mean().item(),
    }  # fmt: skip
    return measured, every.mean().item(), max(every.std(correction=0).item(), 1e-6)


def summary(result: dict[str, Any]) -> str:
    """The result for people."""
    return (
        f"reward: accuracy {result['accuracy']:.1%} [{result['accuracy_low']:.1%}, "
        f"{result['accuracy_high']:.1%}] on {result['dev_pairs']} held-out pairs, dev loss "
        f"{result['dev_loss']:.3f}, {result['train_pairs']} pairs in {result['wall_seconds']:.0f} s"
    )
