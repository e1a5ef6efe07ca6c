"""The losses on preference pairs against their formulas, number by number."""

from __future__ import annotations

import math

import pytest
import torch

from training.alignment.preference_losses import PairScores, dpo, ipo, kto, orpo, pair_losses

pytestmark = pytest.mark.unit


def scores() -> PairScores:
    return PairScores(
        chosen=torch.tensor([-10.0, -6.0]), rejected=torch.tensor([-12.0, -5.0]),
        reference_chosen=torch.tensor([-11.0, -5.0]), reference_rejected=torch.tensor([-10.0, -7.0]),
        chosen_lengths=torch.tensor([5.0, 3.0]), rejected_lengths=torch.tensor([4.0, 2.0]),
        mismatched=torch.tensor([0.5, 1.5]),
    )  # fmt: skip


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# Gains of the two pairs: chosen 1 and -1, rejected -2 and 2.


def test_dpo() -> None:
    expected = [-math.log(sigmoid(0.1 * 3)), -math.log(sigmoid(0.1 * -3))]
    assert dpo(scores(), 0.1).tolist() == pytest.approx(expected)


def test_dpo_with_labels_that_may_be_wrong() -> None:
    expected = -0.9 * math.log(sigmoid(0.3)) - 0.1 * math.log(sigmoid(-0.3))
    assert dpo(scores(), 0.1, 0.1)[0].item() == pytest.approx(expected)


def test_ipo() -> None:
    expected = [(1 / 5 + 2 / 4 - 1 / 0.2) ** 2, (-1 / 3 - 2 / 2 - 1 / 0.2) ** 2]
    assert ipo(scores(), 0.1).tolist() == pytest.approx(expected)


def test_kto_takes_the_mismatched_gain_as_reference_point() -> None:
    z = 1.0
    expected = [
        0.5 * ((1 - sigmoid(0.1 * (1 - z))) + (1 - sigmoid(0.1 * (z + 2)))),
        0.5 * ((1 - sigmoid(0.1 * (-1 - z))) + (1 - sigmoid(0.1 * (z - 2)))),
    ]
    assert kto(scores(), 0.1).tolist() == pytest.approx(expected)


def test_orpo() -> None:
    def log_odds(mean: float) -> float:
        return mean - math.log(1 - math.exp(mean))

    expected = []
    for chosen, rejected in ((-10 / 5, -12 / 4), (-6 / 3, -5 / 2)):
        ratio = log_odds(chosen) - log_odds(rejected)
        expected.append(-chosen - 0.2 * math.log(sigmoid(ratio)))
    assert orpo(scores(), 0.2).tolist() == pytest.approx(expected)


def test_orpo_is_finite_for_an_answer_of_certainty() -> None:
    certain = scores()
    certain.chosen = torch.zeros(2, requires_grad=True)
    loss = orpo(certain, 0.2).sum()
    (gradient,) = torch.autograd.grad(loss, certain.chosen)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto", "orpo"])
def test_every_loss_falls_when_the_chosen_answer_becomes_likelier(name: str) -> None:
    better = scores()
    better.chosen = better.chosen + 0.5
    before, after = (pair_losses(name, s, 0.1).sum() for s in (scores(), better))  # type: ignore[arg-type]
    assert after < before
