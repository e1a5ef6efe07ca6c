"""Sampled answers: their log-probabilities, their distribution, and that batching does not change them."""

from __future__ import annotations

import pytest
import torch

from tests.fixtures.tiny_training import TINY, tiny_model
from training.generate import Answer, generate_greedy, generate_sampled, sample_tokens
from training.model import Llama

pytestmark = pytest.mark.unit

PROMPTS = [[1, 7, 9], [1, 30, 31, 32, 33, 34, 8], [1, 200]]


def sample(model: Llama, **changes: object) -> list[list[Answer]]:
    settings = {"answers_per_prompt": 5, "temperature": 1.3, **changes}
    generator = torch.Generator().manual_seed(3)
    return generate_sampled(model, PROMPTS, 2, 20, generator, **settings)  # type: ignore[arg-type]


def literal_log_probs(model: Llama, prompt: list[int], answer: list[int], temperature: float) -> torch.Tensor:
    tokens = torch.tensor([prompt + answer])
    length = tokens.shape[1]
    visible = torch.ones(length, length, dtype=torch.bool).tril()[None]
    with torch.no_grad():
        logits = model.logits(model(tokens, torch.arange(length)[None], visible))[0] / temperature
    scores = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return scores.gather(1, torch.tensor(answer)[:, None])[:, 0]


def test_log_probs_are_those_of_a_plain_forward_pass() -> None:
    model = tiny_model()
    groups = sample(model)
    assert [len(group) for group in groups] == [5, 5, 5]
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for answer in group:
            expected = literal_log_probs(model, prompt, answer.tokens, 1.3)
            torch.testing.assert_close(torch.tensor(answer.log_probs), expected, rtol=1e-4, atol=1e-5)


def test_answers_end_with_the_end_token_or_at_the_limit() -> None:
    answers = [answer for group in sample(tiny_model(), temperature=3.0) for answer in group]
    assert any(answer.ended for answer in answers)
    for answer in answers:
        assert answer.ended == (answer.tokens[-1] == 2)
        assert 2 not in answer.tokens[:-1]
        assert answer.ended or len(answer.tokens) == 20


def test_the_same_seed_gives_the_same_answers_and_answers_differ() -> None:
    first, again = sample(tiny_model()), sample(tiny_model())
    assert first == again
    assert len({tuple(answer.tokens) for answer in first[0]}) > 1


def test_a_cold_or_narrow_distribution_is_greedy() -> None:
    model = tiny_model()
    greedy = generate_greedy(model, PROMPTS, 2, 20)
    for changes in ({"temperature": 1e-4}, {"top_p": 1e-6}):
        for expected, group in zip(greedy, sample(model, **changes), strict=True):
            assert all(answer.tokens[: len(answer.tokens) - answer.ended] == expected for answer in group)


def test_dropping_finished_rows_changes_no_answer() -> None:
    model = tiny_model()
    answers = [answer for group in sample(model, answers_per_prompt=16) for answer in group]
    said = torch.bincount(torch.tensor([token for answer in answers for token in answer.tokens]))
    eos = int(said.argmax())  # the commonest token: answers end at many different places
    generator = torch.Generator().manual_seed(3)
    groups = generate_sampled(model, PROMPTS, eos, 20, generator, answers_per_prompt=16, temperature=1.3)
    assert len({len(answer.tokens) for group in groups for answer in group}) > 4
    for prompt, group in zip(PROMPTS, groups, strict=True):
        for answer in group:
            expected = literal_log_probs(model, prompt, answer.tokens, 1.3)
            torch.testing.assert_close(torch.tensor(answer.log_probs), expected, rtol=1e-4, atol=1e-5)


def test_tokens_are_drawn_as_often_as_their_probability_says() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    logits = probabilities.log().expand(20_000, -1)
    tokens, log_probs = sample_tokens(logits, torch.Generator().manual_seed(1), 1.0, 1.0)
    shares = torch.bincount(tokens, minlength=4) / len(tokens)
    torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.015)
    torch.testing.assert_close(log_probs, probabilities.log()[tokens])


def test_top_p_keeps_the_fewest_tokens_that_hold_it() -> None:
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log().expand(4_000, -1)
    tokens, _ = sample_tokens(logits, torch.Generator().manual_seed(1), 1.0, 0.7)
    assert set(tokens.tolist()) == {1, 3}  # 0.5 alone is less than 0.7


def test_sampling_leaves_the_mode_of_the_model_alone_and_ends_where_the_context_does() -> None:
    model = tiny_model().train()
    generator = torch.Generator().manual_seed(0)
    ((answer,),) = generate_sampled(model, [[1] + [9] * 119], 319, 50, generator)
    assert model.training
    assert len(answer.tokens) <= TINY.max_position_embeddings - 120
