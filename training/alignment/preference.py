"""`python -m training align dpo`: learn from preference pairs without a reward model (DPO, IPO, KTO, ORPO).

The reference is the frozen start model; its log-probabilities are computed once and kept in the run folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from common.files import atomic_path
from training.alignment.config import PreferenceConfig
from training.alignment.outcomes import finish, say
from training.alignment.pairwise import (
    PairRows,
    PairStream,
    batches_of,
    by_pair,
    open_pair_job,
    packed_pairs,
    pair_facts,
)
from training.alignment.preference_losses import PairScores, pair_losses
from training.alignment.records import Pair
from training.alignment.runs import Job, finished_result, run_steps, update
from training.alignment.sequences import answer_log_probs, score_tokens, sum_by_answer
from training.alignment.tasks import TaskInput, dev_inputs
from training.layout import load_model
from training.model import Llama
from training.optim import FlatAdamW
from training.packing import Batch


def align_preference(settings: PreferenceConfig) -> dict[str, Any]:
    """Run the job; returns its result."""
    job, start = open_pair_job(settings.loss, settings)
    if result := finished_result(job):
        say(job, result, again=True)
        return result
    inputs = dev_inputs(settings.data) if settings.judge_on == "data" else None
    train, dev = packed_pairs(job, settings, start, mismatched=settings.loss == "kto")
    policy = load_model(start.folder).to(job.device)
    optimizer = FlatAdamW(policy, settings.optimizer, torch.float32)
    reference = (
        cached_reference(job, start.model, train, "train"),
        cached_reference(job, start.model, dev, "dev"),
    )
    stream = PairStream(train, settings.rows, job.device)
    total = stream.steps(settings)

    def take_step(step: int) -> dict[str, float]:
        batch, numbers = stream.at(step)
        loss, metrics = preference_loss(policy, batch, numbers, train, reference[0], settings)
        norm = update(job, optimizer, loss, step, total)
        rate = settings.optimizer.rate_at(step, total)
        return {"loss": loss.item(), **metrics, "grad_norm": norm, "lr": rate, "tokens": batch.real_tokens}

    before = measure(policy, dev, reference[1], settings, job.device)
    progress = run_steps(job, optimizer, total, take_step)
    after = measure(policy, dev, reference[1], settings, job.device)
    facts = {
        "loss": settings.loss, "beta": settings.beta, **pair_facts(train, dev, total),
        "dev_before": before, "dev_after": after,
    }  # fmt: skip
    trained_on = settings.make.reward if settings.pairs is None else None
    weights = optimizer.master_weights(policy)
    return finish(
        job,
        settings.judge,
        start,
        policy,
        weights,
        progress,
        facts,
        trained_on,
        inputs or inputs_of(dev.pairs),
    )


def inputs_of(pairs: Sequence[Pair]) -> list[TaskInput]:
    """The distinct conversations of some pairs; the chosen answers are their references."""
    found: dict[str, TaskInput] = {}
    for pair in pairs:
        found.setdefault(pair.key, TaskInput(pair.id, pair.prompt)).references.append(pair.chosen)
    return list(found.values())


def preference_loss(
    policy: Llama,
    batch: Batch,
    numbers: Tensor,
    data: PairRows,
    reference: Tensor,
    settings: PreferenceConfig,
) -> tuple[Tensor, dict[str, float]]:
    """Mean loss of a batch's pairs, and what to report of it; `reference` [answers] are summed log-probs."""
    scores = pair_scores(policy, batch, numbers, data, reference)
    losses = pair_losses(settings.loss, scores, settings.beta, settings.label_smoothing)
    if settings.sft_weight and settings.loss != "orpo":
        losses = losses - settings.sft_weight * scores.chosen / scores.chosen_lengths
    gap = (scores.chosen_gain - scores.rejected_gain).detach()
    report = {
        "margin": settings.beta * gap.mean().item(),
        "accuracy": (gap > 0).float().mean().item(),
        "chosen_gain": scores.chosen_gain.mean().item(),
        "rejected_gain": scores.rejected_gain.mean().item(),
    }
    return losses.mean(), report


def pair_scores(
    policy: Llama, batch: Batch, numbers: Tensor, data: PairRows, reference: Tensor
) -> PairScores:
    """Log-probabilities of both answers of a batch's pairs under policy and reference."""
    owners = data.rows.owners(numbers)
    sums = sum_by_answer(score_tokens(policy, batch).log_probs, owners, len(numbers))
    ours, _ = by_pair(sums, numbers, data.each)
    theirs, _ = by_pair(reference[numbers].to(sums.device), numbers, data.each)
    lengths, _ = by_pair(data.rows.lengths[numbers].to(sums), numbers, data.each)
    return PairScores(
        ours[:, 0], ours[:, 1], theirs[:, 0], theirs[:, 1], lengths[:, 0], lengths[:, 1],
        mismatched=(ours[:, 2] - theirs[:, 2]) if data.each == 3 else None,
    )  # fmt: skip


@torch.no_grad()
def measure(
    policy: Llama, data: PairRows, reference: Tensor, settings: PreferenceConfig, device: torch.device
) -> dict[str, float]:
    """Loss, and the share of held-out pairs whose chosen answer gained more than the rejected one."""
    found: list[tuple[float, dict[str, float], int]] = []
    for batch, numbers in batches_of(data, settings.rows, device):
        loss, report = preference_loss(policy, batch, numbers, data, reference, settings)
        found.append((loss.item(), report, len(numbers)))
    count = sum(size for _, _, size in found)
    names = found[0][1].keys()
    means = {name: sum(report[name] * size for _, report, size in found) / count for name in names}
    return {"loss": sum(loss * size for loss, _, size in found) / count, **means}


def cached_reference(job: Job, reference: Llama, data: PairRows, part: str) -> Tensor:
    """Summed log-probabilities [answers] of the reference, from the run folder where they were computed
    before."""
    path = job.output / f"reference-{part}.safetensors"
    stamp = str(sorted(job.identity.items()))
    if (cached := _read_cached(path, stamp)) is not None and len(cached) == len(data.rows.lengths):
        return cached
    parts = answer_log_probs(reference, data.rows, job.settings.rows, job.device)
    sums = torch.stack([values.sum() for values in parts])
    with atomic_path(path) as temporary:
        save_file({"log_probs": sums}, temporary, metadata={"identity": stamp})
    return sums


def _read_cached(path: Path, stamp: str) -> Tensor | None:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            same = (stored.metadata() or {}).get("identity") == stamp
        return load_file(path)["log_probs"] if same else None
    except (OSError, KeyError, SafetensorError):
        return None
