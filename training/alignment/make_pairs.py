"""Preference pairs made from the task by program: sample answers, score them, pair best against worst.

Where people label pairs of samples (Ouyang et al. 2022), the verifiable reward does it here; the pairs are of
the model's own answers, which is what DPO and reward models want (Rafailov et al. 2023, section 4).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from training.alignment.config import PairConfig
from training.alignment.errors import AlignmentError
from training.alignment.records import BadRow, Collected, Message, Pair, collect, write_pairs
from training.alignment.rewards import VerifiableReward
from training.alignment.tasks import Start, TaskInput, draw, read_inputs, that_fit
from training.generate import Answer, generate_greedy, generate_sampled
from training.packing import Tokens

Scored = tuple[str, float]
"""A text and its reward."""


def make_pairs(start: Start, data: Path, config: PairConfig, seed: int) -> tuple[Collected, dict[str, Any]]:
    """Pairs and figures about their making.

    Raises AlignmentError where no answer ends, and where no two answers to an input differ by the margin.
    """
    path = data / "train.jsonl"
    every, sampling = read_inputs(path), config.sampling
    chosen = [every[index] for index in draw(len(every), config.inputs, seed, 1)]
    inputs, prompts = that_fit(chosen, start, sampling.max_new_tokens, str(path))
    print(f"pairs: {config.answers} answers to each of {len(inputs)} inputs", file=sys.stderr)
    groups = generate_sampled(
        start.model, [prompt.tolist() for prompt in prompts], start.eos, sampling.max_new_tokens,
        torch.Generator().manual_seed(seed), answers_per_prompt=config.answers,
        temperature=sampling.temperature, top_p=sampling.top_p, batch_rows=sampling.batch_rows,
    )  # fmt: skip
    check_that_answers_end([answer for group in groups for answer in group], start.folder)
    reward = VerifiableReward(config.reward, inputs)
    scored = [_score(start, reward, index, group) for index, group in enumerate(groups)]
    served = _served(start, reward, prompts, config) if config.against == "greedy" else [None] * len(inputs)
    collected = collect(pairs_of(inputs, scored, served, config.min_margin))
    if not collected.pairs:
        raise AlignmentError(
            f"no pair: no two sampled answers to an input differ by min_margin = {config.min_margin} of "
            "reward; lower make.min_margin, raise make.answers or make.sampling.temperature"
        )
    ended = [group for group in scored if group]
    rewards = [value for group in ended for _, value in group]
    greedy = [answer[1] for answer in served if answer]
    return collected, {
        "inputs": len(inputs),
        "answers_per_input": config.answers,
        **({"mean_greedy_reward": sum(greedy) / len(greedy)} if greedy else {}),
        "mean_reward": sum(rewards) / len(rewards),
        "mean_best_reward": sum(max(value for _, value in group) for group in ended) / len(ended),
        "mean_margin": sum(pair.margin or 0 for pair in collected.pairs) / len(collected.pairs),
    }


def check_that_answers_end(answers: Sequence[Answer], folder: Path) -> None:
    """Raises AlignmentError where not one answer ended by itself: a model that never learned to stop."""
    if not any(answer.ended for answer in answers):
        raise AlignmentError(
            f"{folder}: not one of {len(answers)} sampled answers ended with the end token, so no answer can "
            "be scored; start from a fine-tuned model (`python -m training sft`) or raise max_new_tokens"
        )


def pairs_folder(
    start: Start,
    data: Path,
    output: Path,
    config: PairConfig,
    seed: int,
    *,
    facts: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Make pairs and write them to the folder `output`; returns the figures."""
    collected, found = make_pairs(start, data, config, seed)
    write_pairs(output, collected, config.held_out, seed, {**(facts or {}), **found})
    return found


def _score(start: Start, reward: VerifiableReward, index: int, group: Sequence[Answer]) -> list[Scored]:
    """Text and reward of the answers that ended; a text that was cut off is no example of anything."""
    texts = [start.tokenizer.decode(answer.tokens) for answer in group if answer.ended]
    return [(text, reward(index, text)) for text in texts]


def _served(
    start: Start, reward: VerifiableReward, prompts: Sequence[Tokens], config: PairConfig
) -> list[Scored | None]:
    """The greedy answers with their rewards; None where one was cut off."""
    limit, rows = config.sampling.max_new_tokens, config.sampling.batch_rows
    answers = generate_greedy(start.model, [p.tolist() for p in prompts], start.eos, limit, rows)
    texts = [start.tokenizer.decode(answer) if len(answer) < limit else None for answer in answers]
    return [None if text is None else (text, reward(index, text)) for index, text in enumerate(texts)]


def pairs_of(
    inputs: Sequence[TaskInput],
    scored: Sequence[list[Scored]],
    served: Sequence[Scored | None],
    min_margin: float,
) -> Iterator[Pair | BadRow]:
    """A pair for each input whose answers differ enough; `served` has greedy answers, or None for each."""
    for item, group, greedy in zip(inputs, scored, served, strict=True):
        if len(group) < 2:
            yield BadRow(item.id, "fewer than two answers ended")
            continue
        best, worst = max(group, key=lambda answer: answer[1]), min(group, key=lambda answer: answer[1])
        if greedy is not None:
            better = best[1] - greedy[1] >= min_margin
            best, worst = (best, greedy) if better else (greedy, worst)
        margin = best[1] - worst[1]
        if margin < min_margin:
            yield BadRow(item.id, "no margin between the answers")
        elif not best[0].strip() or not worst[0].strip():
            yield BadRow(item.id, "empty answer")
        else:
            yield Pair(
                id=item.id, messages=[Message.model_validate(message) for message in item.messages],
                chosen=best[0], rejected=worst[0], source="sampled", margin=margin,
            )  # fmt: skip
