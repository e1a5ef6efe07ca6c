"""DPO and its relatives: losses on the log-probabilities of a chosen and a rejected answer.

All tensors are [B] pairs; log-probabilities are sums over the answer's tokens, in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.alignment.config import LossName


@dataclass(slots=True)
class PairScores:
    """What policy and reference say about B pairs."""

    chosen: Tensor
    rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    chosen_lengths: Tensor
    rejected_lengths: Tensor
    mismatched: Tensor | None = None
    """KTO: log-probability of another input's answer to this input, policy less reference."""

    @property
    def chosen_gain(self) -> Tensor:
        """log pi / reference of the chosen answers: times beta, DPO's implicit reward."""
        return self.chosen - self.reference_chosen

    @property
    def rejected_gain(self) -> Tensor:
        """The same of the rejected answers."""
        return self.rejected - self.reference_rejected


def dpo(scores: PairScores, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Rafailov et al. 2023 (arXiv 2305.18290), eq. 7: -log sigmoid(beta * (gain chosen - gain rejected)).

    `label_smoothing` is the share of pairs taken to be labelled the wrong way round ("conservative DPO").
    """
    margin = beta * (scores.chosen_gain - scores.rejected_gain)
    return -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)


def ipo(scores: PairScores, beta: float) -> Tensor:
    """Azar et al. 2023 (arXiv 2310.12036), eq. 17: (gain chosen - gain rejected - 1 / (2 beta)) squared.

    Gains are per token, so that long answers do not count more; TRL does the same.
    """
    margin = scores.chosen_gain / scores.chosen_lengths - scores.rejected_gain / scores.rejected_lengths
    return (margin - 1 / (2 * beta)) ** 2


def kto(scores: PairScores, beta: float) -> Tensor:
    """Ethayarajh et al. 2024 (arXiv 2402.01306), eq. 7-8: gains against the reference point z, with aversion.

        chosen: 1 - sigmoid(beta (gain - z)), rejected: 1 - sigmoid(beta (z - gain))

    z is the mean gain of answers to other inputs, an estimate of the KL distance, not below 0, without
    gradient. Both answers of a pair count as one desirable and one undesirable example; their mean is given.
    """
    gains = scores.chosen_gain if scores.mismatched is None else scores.mismatched
    z = gains.detach().mean().clamp(min=0)
    good = 1 - torch.sigmoid(beta * (scores.chosen_gain - z))
    bad = 1 - torch.sigmoid(beta * (z - scores.rejected_gain))
    return 0.5 * (good + bad)


def orpo(scores: PairScores, beta: float) -> Tensor:
    """Hong et al. 2024 (arXiv 2403.07691), eq. 6-7: NLL of the chosen answer + beta * odds-ratio loss.

    Needs no reference. odds = p / (1 - p) of the mean log-probability per token.
    """
    chosen, rejected = scores.chosen / scores.chosen_lengths, scores.rejected / scores.rejected_lengths
    log_odds = (chosen - rejected) - (_log1mexp(chosen) - _log1mexp(rejected))
    return -chosen - beta * F.logsigmoid(log_odds)


def pair_losses(name: LossName, scores: PairScores, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """The loss of each pair, [B]."""
    if name == "dpo":
        return dpo(scores, beta, label_smoothing)
    return {"ipo": ipo, "kto": kto, "orpo": orpo}[name](scores, beta)


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, exact near 0 too; x is kept away from 0, where it would be -inf."""
    x = x.clamp(max=-1e-6)
    return torch.where(x > -0.6931, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))
