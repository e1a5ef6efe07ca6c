"""A rollout: the policy answers a batch of inputs, and every answer is scored.

Everything is padded to [A, T] (A answers of at most T tokens), for advantages are computed along answers; the
updates take flat tokens out of it by `mask`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.alignment.config import SamplingConfig
from training.alignment.sequences import AnswerRows, answer_log_probs
from training.examples import ChatTokenizer
from training.generate import Answer, generate_sampled
from training.model import Llama
from training.packing import Tokens

RewardFunction = Callable[[Sequence[int], Sequence[Answer], Sequence[str]], Tensor]
"""Numbers of the inputs, sampled answers and their texts, to rewards [A]."""


@dataclass(slots=True)
class Rollout:
    """A answers to P inputs, K = A / P for each, side by side."""

    rows: AnswerRows
    """The answers packed for the updates."""
    answers: list[Answer]
    texts: list[str]
    inputs: list[int]
    """Number of the input of each answer."""
    mask: Tensor
    """[A, T] bool: the tokens that exist."""
    log_probs: Tensor
    """[A, T] of the policy that sampled, nats."""
    reference_log_probs: Tensor
    """[A, T] of the frozen start model."""
    rewards: Tensor
    """[A], one per answer."""

    @property
    def kl(self) -> Tensor:
        """Estimate of KL(policy || reference) of each answer in nats, [A]: the sum of log-ratios."""
        return ((self.log_probs - self.reference_log_probs) * self.mask).sum(1)

    def flat(self, padded: Tensor, numbers: Tensor) -> Tensor:
        """Entries [N] of a padded tensor for the tokens of some answers, in the order of their batch."""
        return padded[numbers][self.mask[numbers]]


def collect_rollout(
    policy: Llama,
    reference: Llama,
    tokenizer: ChatTokenizer,
    prompts: Sequence[Tokens],
    inputs: Sequence[int],
    sampling: SamplingConfig,
    answers_per_prompt: int,
    reward: RewardFunction,
    row_tokens: int,
    rows_per_batch: int,
    seed: int,
) -> Rollout:
    """Sample, score and pack; `prompts[i]` is the prompt of input number `inputs[i]`."""
    device = policy.embedding.weight.device
    groups = generate_sampled(
        policy, [prompt.tolist() for prompt in prompts], tokenizer.special["eos"], sampling.max_new_tokens,
        torch.Generator().manual_seed(seed), answers_per_prompt=answers_per_prompt,
        temperature=sampling.temperature, top_p=sampling.top_p, batch_rows=sampling.batch_rows,
    )  # fmt: skip
    answers = [answer for group in groups for answer in group]
    texts = [tokenizer.decode(answer.tokens) for answer in answers]
    numbers = [number for number in inputs for _ in range(answers_per_prompt)]
    rows = AnswerRows(prompts, [[a.tokens for a in group] for group in groups], row_tokens, seed)
    frozen = answer_log_probs(reference, rows, rows_per_batch, device, sampling.temperature)
    return Rollout(
        rows, answers, texts, numbers,
        mask=torch.arange(int(rows.lengths.max())) < rows.lengths[:, None],
        log_probs=_padded([torch.tensor(answer.log_probs) for answer in answers]),
        reference_log_probs=_padded(frozen),
        rewards=reward(numbers, answers, texts),
    )  # fmt: skip


def _padded(parts: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
