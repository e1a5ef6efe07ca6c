"""Greedy answers from our own module: batches with a key-value cache, for samples and scores while training.

Served models are measured through their servers (the evaluation room); this is the quick look from inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from training.model import KeyValueCache, Llama


@torch.inference_mode()
def generate_greedy(
    model: Llama, prompts: Sequence[Sequence[int]], eos: int, max_new_tokens: int, batch_rows: int = 64
) -> list[list[int]]:
    """The most likely continuation, token by token, of each prompt; `eos` ends it and is left out.

    Prompts of similar length share a batch. The result is in the order of `prompts`. A prompt must leave
    room in the model's context; the answer ends where the context does.
    """
    training = model.training
    model.eval()
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch_rows):
        chosen = order[start : start + batch_rows]
        produced = _decode([prompts[i] for i in chosen], model, eos, max_new_tokens)
        for i, tokens in zip(chosen, produced, strict=True):
            answers[i] = tokens
    model.train(training)
    return answers


def _decode(prompts: list[Sequence[int]], model: Llama, eos: int, max_new_tokens: int) -> list[list[int]]:
    rows, width = len(prompts), max(len(prompt) for prompt in prompts)
    room = min(max_new_tokens, model.config.max_position_embeddings - width)
    device = model.embedding.weight.device
    padded = np.zeros((rows, width), np.int64)
    for row, prompt in enumerate(
        prompts
    ):  # right-aligned, so that all rows take their next token at one place
        padded[row, width - len(prompt) :] = prompt
    pads = torch.tensor([width - len(prompt) for prompt in prompts], device=device)
    caches = [KeyValueCache(rows, width + room, model.config, model.embedding.weight) for _ in model.blocks]

    tokens = torch.from_numpy(padded).to(device)
    positions = torch.arange(width, device=device)
    done = torch.zeros(rows, dtype=torch.bool, device=device)
    produced: list[Tensor] = []
    for _ in range(room):
        columns = torch.arange(int(positions[-1]) + 1, device=device)
        visible = (columns >= pads[:, None, None]) & (columns <= positions[:, None])
        # `forward`, not the module itself: the compiled version would be compiled anew for every length.
        hidden = model.forward(tokens, (positions - pads[:, None]).clamp(min=0), visible, caches)
        following = model.logits(hidden[:, -1]).argmax(-1)
        done |= following == eos
        if done.all():
            break
        produced.append(following)
        tokens, positions = following[:, None], positions[-1:] + 1
    columns_of = torch.stack(produced, dim=1).tolist() if produced else [[] for _ in prompts]
    return [_until(tokens_of, eos) for tokens_of in columns_of]


def _until(tokens: list[int], eos: int) -> list[int]:
    return tokens[: tokens.index(eos)] if eos in tokens else tokens
