"""Beam search through transformers, in batches of prompts of similar length: the n-best answers of a model.

A language model trained on many ways to say a thing spreads its probability over them, and greedy decoding
walks into whichever opening is most common; a beam finds the answer that is likely as a whole.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.local import LocalModel, load_local, prompt_ids

_BATCH = 32


@dataclass(frozen=True)
class BeamSearch:
    """How to search."""

    beams: int = 5
    length_penalty: float = 1.0
    """Scores are log-probability / length ** penalty (Wu et al. 2016, 1609.08144)."""
    max_new_tokens: int = 128


def n_best(model: Path, inputs: Sequence[str], search: BeamSearch) -> list[list[str]]:
    """For each input (content of a user message) its `beams` best answers, best first.

    Raises EvaluationError for a folder that transformers cannot load.
    """
    local = load_local(model)
    prompts = [prompt_ids(local, text) for text in inputs]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: list[list[str]] = [[] for _ in prompts]
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        for i, texts in zip(chosen, _search(local, [prompts[i] for i in chosen], search), strict=True):
            found[i] = texts
        if sys.stderr.isatty() or start // _BATCH % 10 == 0:
            print(f"beam search: {min(start + _BATCH, len(order)):,} of {len(order):,}", file=sys.stderr)
    return found


def _search(local: LocalModel, prompts: list[list[int]], search: BeamSearch) -> list[list[str]]:
    import torch

    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), local.tokenizer.pad_token_id)  # [B, T]
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    with torch.inference_mode():
        output = local.model.generate(
            ids.to(local.model.device), attention_mask=mask.to(local.model.device),
            do_sample=False, num_beams=search.beams, num_return_sequences=search.beams,
            length_penalty=search.length_penalty,
            max_new_tokens=min(search.max_new_tokens, local.context - width),
            pad_token_id=local.tokenizer.pad_token_id,
        )  # fmt: skip
    texts = local.tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return [texts[row * search.beams : (row + 1) * search.beams] for row in range(len(prompts))]
