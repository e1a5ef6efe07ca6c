"""Answer attribute lists, and put right what the slot check finds: greedy first, samples only where it erred.

Reranking by a slot check is what the strong systems of the E2E challenge did (Juraska et al. 2018, Dušek and
Jurčíček 2016). Here the check is the one that also scores (`evaluation/slots`), and an answer without error
is never touched: what the model finds most likely stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evaluation.slots.attributes import Attribute, parse_attributes
from evaluation.slots.matcher import SlotMatcher
from training.examples import ChatTokenizer
from training.generate import Answer, generate_greedy, generate_sampled
from training.layout import load_model
from training.model import Llama


@dataclass(frozen=True)
class Reranking:
    """How the answers with slot errors are drawn again."""

    samples: int = 16
    """For each input whose greedy answer has an error; 0 leaves the greedy answers as they are."""
    temperature: float = 0.7
    seed: int = 1
    max_new_tokens: int = 128


@dataclass(frozen=True)
class Answered:
    """One text per input, and what the slot check made of the greedy ones."""

    texts: list[str]
    greedy: list[str]
    errors_greedy: int
    errors: int
    slots: int
    """Slots asked for, over all inputs."""


def answer_file(model: Path, inputs: Sequence[str], settings: Reranking) -> Answered:
    """Answer `inputs` (contents of user messages) with the model in a Hugging Face folder."""
    return answer(load_model(model), ChatTokenizer(model), inputs, settings)


def answer(model: Llama, tokenizer: ChatTokenizer, inputs: Sequence[str], settings: Reranking) -> Answered:
    """Greedy answers; one with slot errors gives way to the sample with fewest, the likeliest of them."""
    rendered = [tokenizer.prompt([{"role": "user", "content": text}]) for text in inputs]
    prompts = [ids.tolist() for ids in tokenizer.encode(rendered)]
    eos = tokenizer.special["eos"]
    greedy = [tokenizer.decode(ids) for ids in generate_greedy(model, prompts, eos, settings.max_new_tokens)]
    wanted = [parse_attributes(text) for text in inputs]
    matcher = SlotMatcher(wanted)
    errors = [len(matcher.errors(slots, text)) for slots, text in zip(wanted, greedy, strict=True)]
    texts, left = list(greedy), list(errors)
    faulty = [i for i, count in enumerate(errors) if count]
    if faulty and settings.samples:
        drawn = generate_sampled(
            model, [prompts[i] for i in faulty], eos, settings.max_new_tokens,
            torch.Generator().manual_seed(settings.seed),
            answers_per_prompt=settings.samples, temperature=settings.temperature,
        )  # fmt: skip
        for i, answers in zip(faulty, drawn, strict=True):
            found = _best(answers, wanted[i], matcher, tokenizer)
            if found and found[0] < errors[i]:
                left[i], texts[i] = found
    return Answered(texts, greedy, sum(errors), sum(left), sum(map(len, wanted)))


def _best(
    answers: Sequence[Answer], wanted: list[Attribute], matcher: SlotMatcher, tokenizer: ChatTokenizer
) -> tuple[int, str] | None:
    """(errors, text) of the finished sample with fewest errors; ties go to the likeliest token by token."""
    ranked = []
    for found in answers:
        if found.ended:
            text = tokenizer.decode(found.tokens[:-1])
            likelihood = sum(found.log_probs) / len(found.tokens)
            ranked.append((len(matcher.errors(wanted, text)), -likelihood, text))
    if not ranked:
        return None
    errors, _, text = min(ranked)
    return errors, text
