"""Answers from our own module, greedy or sampled, in batches with a key-value cache: for scores and rollouts.

Served models are measured through their servers (the evaluation room); this is the quick look from inside,
and the engine of sampling-heavy training (preference pairs, PPO, GRPO). What makes it fast: a prompt is
computed once for all its answers, the cache is allocated once and read in place, rows that ended are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.model import KeyValueCache, Llama, ModelConfig

Choose = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Logits [B, V] to token ids [B] and, where asked for, their log-probabilities [B]."""
_DROP_BELOW = 0.75
"""Finished rows are dropped once no more than this share still runs; each time costs a copy of the cache."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One sampled continuation."""

    tokens: list[int]
    """Ids, with the final `eos` where the answer ended by itself."""
    log_probs: list[float]
    """Of each token, in nats, at the temperature of sampling, before top-p."""
    ended: bool
    """Whether it ended with `eos`, not at the limit."""


class HeadMajorCache(KeyValueCache):
    """The cache as [B, K, S, D] in memory, which attention reads in place; the plain one is copied each
    step."""

    def __init__(self, rows: int, positions: int, config: ModelConfig, like: Tensor) -> None:
        shape = (rows, config.num_key_value_heads, positions, config.head_dim)
        # Not zeroed: positions are read only after they were written, and memory never touched is free.
        self.keys = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.values = torch.empty_like(self.keys)
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add [B, T, K, D]; returns all keys and all values so far, [B, S, K, D]."""
        end = self.length + keys.shape[1]
        self.keys[:, :, self.length : end] = keys.transpose(1, 2)
        self.values[:, :, self.length : end] = values.transpose(1, 2)
        self.length = end
        return self.keys[:, :, :end].transpose(1, 2), self.values[:, :, :end].transpose(1, 2)

    def select(self, rows: Tensor) -> None:
        """Go on with these rows alone; an index may repeat."""
        for name in ("keys", "values"):
            old: Tensor = getattr(self, name)
            new = old.new_empty((len(rows), *old.shape[1:]))
            new[:, :, : self.length] = old[rows, :, : self.length]
            setattr(self, name, new)


@torch.inference_mode()
def generate_greedy(
    model: Llama, prompts: Sequence[Sequence[int]], eos: int, max_new_tokens: int, batch_rows: int = 64
) -> list[list[int]]:
    """The most likely continuation, token by token, of each prompt; `eos` ends it and is left out.

    Prompts of similar length share a batch. The result is in the order of `prompts`. A prompt must leave
    room in the model's context; the answer ends where the context does.
    """
    found = _generate(model, prompts, eos, max_new_tokens, batch_rows, 1, lambda x: (x.argmax(-1), None))
    return [answer.tokens[: len(answer.tokens) - answer.ended] for (answer,) in found]


@torch.inference_mode()
def generate_sampled(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    eos: int,
    max_new_tokens: int,
    generator: torch.Generator,
    *,
    answers_per_prompt: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    batch_rows: int = 256,
) -> list[list[Answer]]:
    """`answers_per_prompt` random continuations of each prompt, in the order of `prompts`.

    Sampled from softmax(logits / temperature), restricted to the fewest tokens that hold `top_p` of it
    (nucleus sampling, Holtzman et al. 2020, arXiv 1904.09751). The same generator state, prompts and
    batch_rows give the same answers.
    """

    def choose(logits: Tensor) -> tuple[Tensor, Tensor | None]:
        return sample_tokens(logits, generator, temperature, top_p)

    return _generate(model, prompts, eos, max_new_tokens, batch_rows, answers_per_prompt, choose)


def sample_tokens(
    logits: Tensor, generator: torch.Generator, temperature: float, top_p: float
) -> tuple[Tensor, Tensor]:
    """One token per row of [B, V] and its log-probability before top-p, both [B]."""
    log_probs = torch.log_softmax(logits.float() / temperature, dim=-1)
    probs = log_probs.exp()
    if top_p < 1:
        ordered, order = probs.sort(dim=-1, descending=True)
        # A token stays while those before it hold less than top_p; the first one always does.
        dropped = ordered.cumsum(-1) - ordered >= top_p
        probs = probs.scatter(-1, order, ordered.masked_fill(dropped, 0.0))
    cumulative = probs.cumsum(-1)
    point = torch.rand(len(logits), 1, generator=generator).to(logits.device) * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, point, right=True).clamp_(max=logits.shape[1] - 1)
    return tokens[:, 0], log_probs.gather(-1, tokens)[:, 0]


def _generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    eos: int,
    max_new_tokens: int,
    batch_rows: int,
    copies: int,
    choose: Choose,
) -> list[list[Answer]]:
    training = model.training
    model.eval()
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: list[list[Answer]] = [[] for _ in prompts]
    together = max(1, batch_rows // copies)
    for start in range(0, len(order), together):
        chosen = order[start : start + together]
        produced = _decode([prompts[i] for i in chosen], model, eos, max_new_tokens, copies, choose)
        for place, i in enumerate(chosen):
            answers[i] = produced[place * copies : (place + 1) * copies]
    model.train(training)
    return answers


def _decode(
    prompts: list[Sequence[int]], model: Llama, eos: int, max_new_tokens: int, copies: int, choose: Choose
) -> list[Answer]:
    """The answers of one batch: `copies` for each prompt, side by side."""
    device = model.embedding.weight.device
    width = max(len(prompt) for prompt in prompts)
    room = min(max_new_tokens, model.config.max_position_embeddings - width)
    caches = [
        HeadMajorCache(len(prompts), width + room, model.config, model.embedding.weight) for _ in model.blocks
    ]
    tokens, pads = _right_aligned(prompts, width, device)
    last = _forward(model, tokens, torch.arange(width, device=device), pads, caches)
    alive = torch.arange(len(prompts), device=device).repeat_interleave(copies)
    if copies > 1:
        _keep(caches, alive)
    last, pads = last[alive], pads[alive]

    rows = len(prompts) * copies
    alive = torch.arange(rows, device=device)  # which answer each row of the batch is
    ids = torch.full((rows, max(room, 1)), eos, device=device)
    log_probs = torch.zeros(rows, max(room, 1), device=device)
    lengths = torch.zeros(rows, dtype=torch.long, device=device)
    running = torch.ones(rows, dtype=torch.bool, device=device)
    for step in range(room):
        following, scores = choose(model.logits(last))
        writes = alive[running]
        ids[writes, step] = following[running]
        if scores is not None:
            log_probs[writes, step] = scores[running]
        lengths[writes] += 1
        running = running & (following != eos)
        left = int(running.sum())
        if not left or step + 1 == room:
            break
        if left <= _DROP_BELOW * len(alive):
            alive, following, pads = alive[running], following[running], pads[running]
            _keep(caches, running.nonzero()[:, 0])
            running = torch.ones(left, dtype=torch.bool, device=device)
        last = _forward(model, following[:, None], torch.tensor([width + step], device=device), pads, caches)
    return _cut(ids, log_probs, lengths, eos)


def _right_aligned(prompts: list[Sequence[int]], width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Prompts [B, width] that all end at the same place, and how much padding stands before each, [B]."""
    padded = np.zeros((len(prompts), width), np.int64)
    for row, prompt in enumerate(prompts):
        padded[row, width - len(prompt) :] = prompt
    pads = torch.tensor([width - len(prompt) for prompt in prompts], device=device)
    return torch.from_numpy(padded).to(device), pads


def _forward(
    model: Llama, tokens: Tensor, places: Tensor, pads: Tensor, caches: list[HeadMajorCache]
) -> Tensor:
    """Hidden states [B, H] of the last of the tokens [B, T], which stand at columns `places` [T]."""
    columns = torch.arange(int(places[-1]) + 1, device=tokens.device)
    visible = (columns >= pads[:, None, None]) & (columns <= places[:, None])
    positions = (places - pads[:, None]).clamp(min=0)
    # `forward`, not the module itself: the compiled version would be compiled anew for every length.
    return model.forward(tokens, positions, visible, list(caches))[:, -1]


def _keep(caches: list[HeadMajorCache], rows: Tensor) -> None:
    for cache in caches:
        cache.select(rows)


def _cut(ids: Tensor, log_probs: Tensor, lengths: Tensor, eos: int) -> list[Answer]:
    answers = []
    for tokens, scores, length in zip(ids.tolist(), log_probs.tolist(), lengths.tolist(), strict=True):
        ended = length > 0 and tokens[length - 1] == eos
        answers.append(Answer(tokens[:length], scores[:length], ended))
    return answers
