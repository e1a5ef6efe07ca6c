"""The machinery of PPO, RLOO and GRPO on a toy: packing, experience, and a reward that goes up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch

from tests.fixtures.tiny_training import tiny_model
from training.alignment.advantages import gae, whiten
from training.alignment.config import Algorithm, RlhfConfig, SamplingConfig
from training.alignment.ppo import (
    Policy,
    experience_of,
    explained_variance,
    policy_loss,
    token_rewards,
)
from training.alignment.rollout import Rollout, collect_rollout
from training.alignment.sequences import AnswerRows, answer_log_probs, chunks, score_tokens
from training.examples import ChatTokenizer
from training.generate import Answer
from training.optim import FlatAdamW, OptimizerConfig

pytestmark = pytest.mark.unit

EOS = 2
PROMPTS = [np.array([1, 4, token, 5], np.int32) for token in (20, 30, 40, 50)]
CPU = torch.device("cpu")


class Digits:
    """Stands for a tokenizer: texts are the ids."""

    special = {"eos": EOS}

    def decode(self, tokens: Sequence[int]) -> str:
        return " ".join(map(str, tokens))


def settings(algorithm: Algorithm, **changes: Any) -> RlhfConfig:
    values = {
        "from": "a", "data": "b", "output": "c", "algorithm": algorithm, "answers": 8, "rows": 4,
        "kl_coef": 0.01, "optimizer": {"lr": 1e-2, "weight_decay": 0}, **changes,
    }  # fmt: skip
    return RlhfConfig.from_dict(values, "test")


def share_of_low_ids(numbers: Sequence[int], answers: Sequence[Answer], texts: Sequence[str]) -> torch.Tensor:
    """The toy reward: the share of tokens below 100."""
    return torch.tensor([sum(token < 100 for token in a.tokens) / len(a.tokens) for a in answers])


def rollout_of(policy: Policy, seed: int, copies: int = 8) -> Rollout:
    tokenizer = cast(ChatTokenizer, Digits())
    return collect_rollout(
        policy.model, tiny_model(), tokenizer, PROMPTS, range(len(PROMPTS)), SamplingConfig(max_new_tokens=8),
        copies, share_of_low_ids, 64, 4, seed,
    )  # fmt: skip


def test_packed_answers_have_the_log_probs_of_sampling() -> None:
    rollout = rollout_of(Policy(tiny_model(), with_value=False), 5)
    assert rollout.rows.lengths.tolist() == [len(answer.tokens) for answer in rollout.answers]
    # The policy is the reference here, so that both were computed: while sampling, and packed into rows.
    difference = (rollout.log_probs - rollout.reference_log_probs)[rollout.mask].abs().max()
    assert difference < 1e-4
    assert rollout.inputs == [index for index in range(4) for _ in range(8)]
    torch.testing.assert_close(rollout.kl, torch.zeros(32), rtol=0, atol=1e-3)


def test_pairs_stay_in_one_row_and_every_answer_comes_once() -> None:
    answers = [[[7, 8, EOS], [9, EOS]] for _ in range(7)]
    rows = AnswerRows([PROMPTS[0]] * 7, answers, 20, 1, together=True)
    seen: list[int] = []
    for part in chunks(rows.epoch(3), 2):
        batch, numbers = rows.batch(part, CPU)
        assert batch.target_tokens == int(rows.lengths[numbers].sum())
        assert all(a + 1 == b for a, b in zip(numbers[::2].tolist(), numbers[1::2].tolist(), strict=True))
        seen += numbers.tolist()
    assert sorted(seen) == list(range(14))
    assert rows.epoch(3) == rows.epoch(3)
    assert rows.epoch(3) != rows.epoch(4)


def test_token_scores_belong_to_their_answers() -> None:
    model = tiny_model()
    answers = [[[7, 8, EOS], [9, EOS]], [[100, EOS], [200, 201, 202, EOS]]]
    together = AnswerRows(PROMPTS[:2], answers, 40, 1)
    alone = [
        answer_log_probs(model, AnswerRows([prompt], [[answer]], 40, 1), 1, CPU)[0]
        for prompt, many in zip(PROMPTS[:2], answers, strict=True)
        for answer in many
    ]
    for expected, found in zip(alone, answer_log_probs(model, together, 4, CPU), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_entropy_is_that_of_the_distribution_and_trains_only_when_asked() -> None:
    model = tiny_model()
    batch, _ = (rows := AnswerRows(PROMPTS[:1], [[[7, EOS]]], 16, 1)).batch(rows.epoch(0), CPU)
    report, train = (score_tokens(model, batch, entropy=kind).entropy for kind in ("report", "train"))
    assert report is not None
    assert train is not None
    assert (train.requires_grad, report.requires_grad) == (True, False)
    torch.testing.assert_close(report, train.detach())
    assert 0 < report.max() < np.log(320)


def test_ppo_charges_the_kl_per_token_and_pays_at_the_end() -> None:
    policy = Policy(tiny_model(seed=1), with_value=True)
    rollout = rollout_of(policy, 1)
    rewards = token_rewards(rollout, 0.5)
    for row, (length, reward) in enumerate(zip(rollout.rows.lengths.tolist(), rollout.rewards, strict=True)):
        charged = 0.5 * (rollout.log_probs - rollout.reference_log_probs)[row]
        torch.testing.assert_close(rewards[row, : length - 1], -charged[: length - 1])
        torch.testing.assert_close(rewards[row, length - 1], reward - charged[length - 1])
        assert rewards[row, length:].eq(0).all()
    experience = experience_of(policy, rollout, settings("ppo", kl_coef=0.5), CPU)
    expected, _ = gae(rewards, torch.zeros_like(rewards), rollout.mask, 1.0, 0.95)  # the head starts at 0
    torch.testing.assert_close(experience.advantages, whiten(expected, rollout.mask))


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_the_first_update_is_on_policy(algorithm: Algorithm) -> None:
    config, policy = settings(algorithm, kl_coef=0), Policy(tiny_model(), with_value=algorithm == "ppo")
    rollout = rollout_of(policy, 2)
    experience = experience_of(policy, rollout, config, CPU)
    batch, numbers = rollout.rows.batch(rollout.rows.epoch(0), CPU)
    loss, report = policy_loss(policy, experience, batch, numbers, config)
    assert report["clipped"] == 0
    assert abs(report["old_kl"]) < 1e-5
    # At ratio 1 the loss is minus the mean advantage, which is 0 for centred advantages of each kind
    # (PPO: over tokens; the others: over the answers to an input, where each answer counts once).
    if algorithm != "rloo":  # sums over tokens weigh long answers more
        assert report["policy_loss"] == pytest.approx(0, abs=1e-4)
    assert torch.isfinite(loss)


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_a_toy_reward_goes_up(algorithm: Algorithm) -> None:
    torch.manual_seed(0)
    config = settings(algorithm, epochs=2)
    policy = Policy(tiny_model(), with_value=algorithm == "ppo")
    optimizer = FlatAdamW(policy, OptimizerConfig(lr=1e-2, weight_decay=0), torch.float32)
    rewards = []
    for step in range(12):
        rollout = rollout_of(policy, step)
        rewards.append(rollout.rewards.mean().item())
        experience = experience_of(policy, rollout, config, CPU)
        for epoch in range(config.epochs):
            for rows in chunks(rollout.rows.epoch(epoch), config.rows):
                batch, numbers = rollout.rows.batch(rows, CPU)
                loss, _ = policy_loss(policy, experience, batch, numbers, config)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.collect()
                optimizer.update(1e-2, optimizer.grad_norm())
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.15
    assert rollout.kl.mean() > 0.1  # it had to walk away from the reference for that
    if algorithm == "ppo":
        assert explained_variance(experience) > -1


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_equal_rewards_teach_nothing(algorithm: Algorithm) -> None:
    config, policy = settings(algorithm, kl_coef=0), Policy(tiny_model(), with_value=False)
    rollout = rollout_of(policy, 3)
    rollout.rewards = torch.full_like(rollout.rewards, 0.7)
    experience = experience_of(policy, rollout, config, CPU)
    assert experience.advantages.abs().max() < 1e-2
