"""Answers as packed rows and back: who said which token, with what probability.

All tokens of a batch's answers are handled as one flat list of N numbers, answer after answer ("ragged"): no
padding is computed. Prompts are shared: the answers to one input stand behind one copy of it (see
training/packing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from training.loss import IGNORED
from training.model import Llama
from training.packing import Batch, Group, PackedData, Piece, Tokens, fit_into_rows


@dataclass(slots=True)
class TokenScores:
    """What a model says about the N answer tokens of a batch."""

    log_probs: Tensor
    """[N], nats."""
    entropy: Tensor | None
    """[N], of the whole distribution at each token, in nats; None where it was not asked for."""
    hidden: Tensor
    """[N, H], the state from which each token was predicted."""


class AnswerRows:
    """Answers packed into rows: `prompts[i]` was answered by each of `answers[i]`.

    Answers are numbered in order over all prompts. With `together`, all answers to a prompt stay in one row
    (pairs need that); the caller has made sure that they fit.
    """

    def __init__(
        self,
        prompts: Sequence[Tokens],
        answers: Sequence[Sequence[Sequence[int]]],
        row_tokens: int,
        seed: int,
        *,
        together: bool = False,
    ) -> None:
        self.lengths = torch.tensor([len(answer) for many in answers for answer in many])
        groups, number = [], 0
        for prompt, many in zip(prompts, answers, strict=True):
            continuations = tuple(np.asarray([prompt[-1], *answer], np.int32) for answer in many)
            ids = tuple(str(number + place) for place in range(len(many)))
            groups.append(Group(prompt[:-1], continuations, ids))
            number += len(many)
        self._data = PackedData(groups, row_tokens, 1 if together else row_tokens, seed)
        self._together, self._seed, self._row_tokens = together, seed, row_tokens

    def epoch(self, number: int) -> list[list[Piece]]:
        """The rows of a pass, in random order; a function of seed and `number`."""
        if not self._together:
            return self._data.epoch(number)
        rng = np.random.default_rng((self._seed, number))
        pieces = [
            Piece(index, tuple(range(len(group.continuations))), length_of(group))
            for index, group in enumerate(self._data.groups)
        ]
        return fit_into_rows(pieces, self._row_tokens, rng)

    def batch(self, rows: Sequence[Sequence[Piece]], device: torch.device) -> tuple[Batch, Tensor]:
        """The batch of some rows, and the numbers of its answers [A] in the order of its tokens."""
        batch = self._data.batch(rows).to(device)
        return batch, torch.tensor([int(number) for number in batch.ids])

    def owners(self, numbers: Tensor) -> Tensor:
        """For each of a batch's N tokens the place of its answer in `numbers`, [N]."""
        return torch.repeat_interleave(torch.arange(len(numbers)), self.lengths[numbers])


def length_of(group: Group) -> int:
    """Positions that a prompt and all its answers take in a row."""
    return len(group.context) + sum(len(continuation) - 1 for continuation in group.continuations)


def chunks(rows: Sequence[list[Piece]], size: int) -> list[Sequence[list[Piece]]]:
    """Rows in groups of `size`; the last one may be smaller."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def states_of(model: Llama, batch: Batch) -> tuple[Tensor, Tensor]:
    """Hidden states [N, H] from which the answer tokens are predicted, and those tokens [N]."""
    hidden = model(batch.tokens, batch.positions, batch.visible).flatten(0, 1)
    targets = batch.targets.flatten()
    counted = (targets != IGNORED).nonzero().squeeze(1)
    return hidden[counted], targets[counted]


def score_tokens(
    model: Llama, batch: Batch, temperature: float = 1.0, *, entropy: Literal["no", "report", "train"] = "no"
) -> TokenScores:
    """Log-probability at each answer token, of softmax(logits / temperature); entropy with a gradient only to
    train on it."""
    hidden, tokens = states_of(model, batch)
    everything = torch.log_softmax(model.logits(hidden) / temperature, dim=-1)
    spread: Tensor | None = None
    if entropy != "no":
        source = everything if entropy == "train" else everything.detach()
        spread = -(source.exp() * source).sum(-1)
    return TokenScores(everything.gather(1, tokens[:, None])[:, 0], spread, hidden)


def sum_by_answer(values: Tensor, owners: Tensor, answers: int) -> Tensor:
    """Sums [A] of the token values [N] of each answer."""
    return values.new_zeros(answers).index_add(0, owners.to(values.device), values)


@torch.no_grad()
def answer_log_probs(
    model: Llama, answers: AnswerRows, rows_per_batch: int, device: torch.device, temperature: float = 1.0
) -> list[Tensor]:
    """Token log-probabilities of every answer, by its number; for frozen models."""
    found: list[Tensor] = [torch.empty(0)] * len(answers.lengths)
    for rows in chunks(answers.epoch(0), rows_per_batch):
        batch, numbers = answers.batch(rows, device)
        scores = score_tokens(model, batch, temperature).log_probs.cpu()
        parts = torch.split(scores, answers.lengths[numbers].tolist())
        for number, part in zip(numbers.tolist(), parts, strict=True):
            found[number] = part
    return found
