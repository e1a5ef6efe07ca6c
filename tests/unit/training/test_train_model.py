"""Our Llama against transformers', the fused loss against PyTorch's, decoding with and without a cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from common.errors import ConfigError
from tests.fixtures.tiny_training import TINY, tiny_model
from training.config import resolve_model
from training.generate import generate_greedy
from training.layout import LayoutError, from_hugging_face, load_model, save_model, to_hugging_face
from training.loss import IGNORED, cross_entropy_sum
from training.model import Llama

pytestmark = pytest.mark.unit

SPECIAL = {"bos": 1, "eos": 2, "pad": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", tiny_model().state_dict(), TINY, tmp_path, SPECIAL)
    return tmp_path / "model"


def logits_of(model: Llama, tokens: torch.Tensor) -> torch.Tensor:
    rows, length = tokens.shape
    visible = torch.ones(length, length, dtype=torch.bool).tril().expand(rows, -1, -1)
    return model.logits(model(tokens, torch.arange(length).expand(rows, -1), visible))


def test_logits_equal_those_of_transformers(folder: Path) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokens = torch.randint(0, 320, (3, 40), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        difference = (logits_of(load_model(folder), tokens) - theirs(tokens).logits).abs().max()
    assert difference < 1e-5


def test_layout_goes_there_and_back_unchanged() -> None:
    weights = tiny_model().state_dict()
    back = from_hugging_face(to_hugging_face(weights, TINY), TINY)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], weights[name]) for name in weights)


def test_greedy_answers_equal_those_of_transformers(folder: Path) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompts = [[1, 7, 9], [1, 30, 31, 32, 33, 34, 8], [1, 200]]
    ours = generate_greedy(load_model(folder), prompts, eos=2, max_new_tokens=12)
    for prompt, answer in zip(prompts, ours, strict=True):
        tokens = torch.tensor([prompt])
        whole = theirs.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=12, do_sample=False
        )
        expected = whole[0, len(prompt) :].tolist()
        assert answer == (expected[: expected.index(2)] if 2 in expected else expected)


def test_greedy_answers_end_where_the_context_does() -> None:
    prompt = [1] + [9] * 119
    (answer,) = generate_greedy(tiny_model(), [prompt], eos=319, max_new_tokens=50)
    assert len(answer) <= TINY.max_position_embeddings - len(prompt)


def test_a_model_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no readable model"):
        load_model(tmp_path)


def test_the_fused_loss_and_its_gradients_equal_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(700, 16, generator=generator).requires_grad_()
    output = torch.randn(50, 16, generator=generator).requires_grad_()
    targets = torch.randint(0, 50, (700,), generator=generator)
    targets[::3] = IGNORED
    expected = F.cross_entropy(hidden @ output.t(), targets, ignore_index=IGNORED, reduction="sum")
    expected_gradients = torch.autograd.grad(expected, (hidden, output))
    loss = cross_entropy_sum(hidden, output, targets)
    gradients = torch.autograd.grad(loss * 1.0, (hidden, output))
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_fused_loss_of_fully_masked_targets_is_zero() -> None:
    hidden = torch.randn(8, 16).requires_grad_()
    loss = cross_entropy_sum(hidden, torch.randn(50, 16), torch.full((8,), IGNORED))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert hidden.grad is not None
    assert not hidden.grad.any()


@pytest.mark.parametrize(("size", "millions"), [("nano", 4), ("small", 12), ("base", 60)])
def test_sizes_are_what_their_name_says(size: str, millions: int) -> None:
    with torch.device("meta"):
        count = Llama(resolve_model(size), 2048).parameter_count() / 1e6
    assert count == pytest.approx(millions, rel=0.1)


def test_an_unknown_size_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'nano'"):
        resolve_model("nanno")
