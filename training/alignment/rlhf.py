"""`python -m training align rlhf`: PPO, RLOO or GRPO on a reward model or on a verifiable reward.

Each step samples answers from the policy as it is, scores them, and updates the policy on them a few times.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.alignment.config import RlhfConfig
from training.alignment.curve import write_curve
from training.alignment.errors import AlignmentDiverged
from training.alignment.make_pairs import check_that_answers_end
from training.alignment.outcomes import finish, say
from training.alignment.ppo import Policy, experience_of, explained_variance, policy_loss
from training.alignment.reward_model import (
    RewardModel,
    load_reward_model,
    rewards_of,
    with_end,
    without_prefix,
)
from training.alignment.rewards import VerifiableReward, can_verify
from training.alignment.rollout import Rollout, collect_rollout
from training.alignment.runs import Job, finished_result, open_job, run_steps, update
from training.alignment.sequences import AnswerRows, chunks
from training.alignment.tasks import (
    Start,
    TaskInput,
    dev_inputs,
    draw,
    load_start,
    read_inputs,
    that_fit,
)
from training.generate import Answer
from training.layout import load_model, model_folder
from training.optim import FlatAdamW
from training.packing import Tokens


@dataclass(slots=True)
class Rlhf:
    """All that the steps work on."""

    job: Job
    settings: RlhfConfig
    start: Start
    policy: Policy
    optimizer: FlatAdamW
    inputs: list[TaskInput]
    prompts: list[Tokens]
    reward_model: RewardModel | None
    verifiable: VerifiableReward | None
    """The training reward, or beside a reward model the gold standard that is only measured."""


def align_rlhf(settings: RlhfConfig) -> dict[str, Any]:
    """Run the job; returns its result."""
    start = load_start(settings.start)
    folder = model_folder(settings.reward_model) if settings.reward_model else None
    weights = folder / "model.safetensors" if folder else None
    files = {"start": start.folder / "model.safetensors", "reward_model": weights}
    job = open_job(settings.algorithm, settings, files)
    if result := finished_result(job):
        say(job, result, again=True)
        return result
    asked = dev_inputs(settings.data)
    run = _prepare(job, settings, start)
    progress = run_steps(job, run.optimizer, settings.steps, lambda step: take_step(run, step))
    facts: dict[str, Any] = {
        "algorithm": settings.algorithm, "steps": settings.steps, "kl_coef": settings.kl_coef,
        "sampled_answers": settings.steps * settings.prompts * settings.answers,
        "reward": "reward model" if run.reward_model else "verifiable",
    }  # fmt: skip
    if run.reward_model and run.verifiable:
        facts["curve"] = write_curve(job.output)
    facts |= first_and_last(job.output / "metrics.jsonl", "reward")
    final = without_prefix(run.optimizer.master_weights(run.policy), "model.")
    trained_on = None if run.reward_model else settings.reward
    return finish(job, settings.judge, start, run.policy.model, final, progress, facts, trained_on, asked)


def first_and_last(metrics: Path, name: str) -> dict[str, float]:
    """Mean of a metric over the first and over the last tenth of the steps (at least one)."""
    values = [json.loads(line)[name] for line in metrics.read_text(encoding="utf-8").splitlines()]
    tenth = max(1, len(values) // 10)
    return {
        f"train_{name}_first": sum(values[:tenth]) / tenth, f"train_{name}_last": sum(values[-tenth:]) / tenth
    }  # fmt: skip


def _prepare(job: Job, settings: RlhfConfig, start: Start) -> Rlhf:
    path = settings.data / "train.jsonl"
    room = settings.sampling.max_new_tokens
    inputs, prompts = that_fit(read_inputs(path), start, room, str(path), settings.row_tokens)
    reward_model = None
    if settings.reward_model:
        reward_model = load_reward_model(settings.reward_model, start.folder).to(job.device)
    start.model.to(job.device)
    policy = Policy(load_model(start.folder), with_value=settings.algorithm == "ppo").to(job.device)
    optimizer = FlatAdamW(policy, settings.optimizer, torch.float32)
    verifiable = None
    if reward_model is None or can_verify(inputs):
        verifiable = VerifiableReward(settings.reward, inputs)
    return Rlhf(job, settings, start, policy, optimizer, inputs, prompts, reward_model, verifiable)


def take_step(run: Rlhf, step: int) -> dict[str, float]:
    """One rollout and its updates; the metrics of the step."""
    settings = run.settings
    rollout = _rollout(run, step)
    kl = rollout.kl.mean().item()
    _check_kl(run, step, kl)
    experience = experience_of(run.policy, rollout, settings, run.job.device)
    reports: list[dict[str, float]] = []
    tokens, loss = 0, torch.zeros(())
    for epoch in range(settings.epochs):
        for rows in chunks(rollout.rows.epoch(epoch), settings.rows):
            batch, numbers = rollout.rows.batch(rows, run.job.device)
            loss, report = policy_loss(run.policy, experience, batch, numbers, settings)
            report["grad_norm"] = update(run.job, run.optimizer, loss, step, settings.steps)
            reports.append({"loss": loss.item(), **report})
            tokens += batch.real_tokens
    metrics = {name: sum(report[name] for report in reports) / len(reports) for name in reports[0]}
    metrics |= _describe(run, rollout) | {"kl": kl, "updates": len(reports), "tokens": tokens}
    if settings.algorithm == "ppo":
        metrics["explained_variance"] = explained_variance(experience)
    return metrics


def _rollout(run: Rlhf, step: int) -> Rollout:
    """The policy's answers to the inputs of this step: passes over all inputs, each in its own random
    order."""
    settings, count = run.settings, len(run.inputs)
    first = step * settings.prompts
    places = range(first, first + min(settings.prompts, count))
    orders = {number: draw(count, count, settings.seed, 2, number) for number in {p // count for p in places}}
    chosen = [orders[place // count][place % count] for place in places]

    def reward(numbers: Sequence[int], answers: Sequence[Answer], texts: Sequence[str]) -> Tensor:
        if not step:
            check_that_answers_end(answers, run.start.folder)
        return score_answers(run, numbers, answers, texts)

    return collect_rollout(
        run.policy.model, run.start.model, run.start.tokenizer, [run.prompts[index] for index in chosen],
        chosen, settings.sampling, settings.answers, reward, settings.row_tokens, settings.rows,
        seed=settings.seed * 1_000_003 + step,
    )  # fmt: skip


def score_answers(
    run: Rlhf, numbers: Sequence[int], answers: Sequence[Answer], texts: Sequence[str]
) -> Tensor:
    """The training reward of each answer, [A]."""
    if run.reward_model is None:
        assert run.verifiable is not None
        rows = zip(numbers, answers, texts, strict=True)
        return torch.tensor([run.verifiable(n, text, ended=answer.ended) for n, answer, text in rows])
    ended = [[with_end(answer.tokens, run.start.eos)] for answer in answers]
    longest = run.settings.row_tokens + 1
    packed = AnswerRows([run.prompts[number] for number in numbers], ended, longest, 0)
    return rewards_of(run.reward_model, packed, run.settings.rows, run.job.device)


def _describe(run: Rlhf, rollout: Rollout) -> dict[str, float]:
    """Reward, its parts, and the shape of the answers of a rollout."""
    found = {
        "reward": rollout.rewards.mean().item(),
        "reward_std": rollout.rewards.std(correction=0).item(),
        "answer_tokens": rollout.rows.lengths.float().mean().item(),
        "ended": sum(answer.ended for answer in rollout.answers) / len(rollout.answers),
    }
    if run.verifiable is None:
        return found
    scores = [run.verifiable.score(n, text) for n, text in zip(rollout.inputs, rollout.texts, strict=True)]
    errors = [score.slot_errors for score in scores if score.slot_errors is not None]
    overlaps = [score.bleu for score in scores if score.bleu is not None]
    if errors:
        found["slot_errors"] = sum(errors) / len(errors)
    if overlaps:
        found["bleu"] = sum(overlaps) / len(overlaps)
    if run.reward_model is not None:
        found["gold_reward"] = sum(score.reward for score in scores) / len(scores)
    return found


def _check_kl(run: Rlhf, step: int, kl: float) -> None:
    if not math.isfinite(kl) or kl > run.settings.max_kl:
        raise AlignmentDiverged(
            f"{run.job.name} stopped at step {step + 1}: the policy is {kl:.1f} nats per answer from the "
            f"start model (max_kl = {run.settings.max_kl}): it has left the language it was taught. Raise "
            f"kl_coef (now {run.settings.kl_coef}), lower optimizer.lr or epochs, or raise max_kl if this is "
            "wanted"
        )
