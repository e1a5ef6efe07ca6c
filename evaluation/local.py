"""Generation by transformers in this process: the reference that roads are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.errors import EvaluationError
from evaluation.prompts import Message, as_conversation

if TYPE_CHECKING:
    import torch

FORMATS = ("fp32", "bf16")


@dataclass(frozen=True)
class LocalModel:
    """A causal language model in evaluation mode and its tokenizer (padding on the left)."""

    model: Any
    tokenizer: Any

    @property
    def context(self) -> int:
        """The longest sequence in tokens, prompt and answer together."""
        return int(self.model.config.max_position_embeddings)


def load_local(model_dir: Path, precision: str = "fp32") -> LocalModel:
    """Load a Hugging Face folder (safetensors only). Verify the bundle before calling this.

    Raises EvaluationError for another precision or a folder that transformers cannot read.
    """
    if precision not in FORMATS:
        raise EvaluationError(
            f"the local road has {' and '.join(FORMATS)}, not {precision}; take the edge road"
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    # Loading takes a moment; the bar that matters is that of the outputs.
    logging.disable_progress_bar()
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_dir, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=dtype, use_safetensors=True)
    except (OSError, ValueError) as exc:
        raise EvaluationError(
            f"{model_dir}: transformers cannot load it: {' '.join(str(exc).split())}"
        ) from exc
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return LocalModel(model.to(device).eval(), tokenizer)


def prompt_ids(local: LocalModel, prompt: str | Sequence[Message]) -> list[int]:
    """Token ids of a conversation, up to where the assistant's answer starts."""
    rendered = local.tokenizer.apply_chat_template(
        as_conversation(prompt), add_generation_prompt=True, tokenize=False
    )
    # The template writes the special tokens itself.
    return list(local.tokenizer(rendered, add_special_tokens=False)["input_ids"])


def generate_local(
    local: LocalModel | Path,
    inputs: Sequence[str | Sequence[Message]],
    *,
    max_tokens: int = 128,
    batch_size: int = 32,
    numbers: Sequence[int] | None = None,
    on_answer: Callable[[int, str], None] | None = None,
) -> list[str]:
    """Greedy answers, one per input and in order; fp32 where a model folder is given.

    Prompts of similar length share a batch, so that little is spent on padding. Answers end at the
    end-of-sequence token, after `max_tokens`, or where the context ends. Raises EvaluationError naming an
    input that leaves no room for an answer, by `numbers` or counted from 1.
    """
    if max_tokens < 1 or batch_size < 1:
        raise EvaluationError(f"max_tokens {max_tokens} and batch size {batch_size} must be at least 1")
    local = load_local(local) if isinstance(local, Path) else local
    prompts = [prompt_ids(local, prompt) for prompt in inputs]
    for number, ids in zip(numbers or range(1, len(prompts) + 1), prompts, strict=True):
        if len(ids) >= local.context:
            raise EvaluationError(
                f"input {number}: {len(ids)} prompt tokens do not fit the context of {local.context} tokens"
            )
    answers = [""] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        for index, text in zip(batch, _answer(local, [prompts[i] for i in batch], max_tokens), strict=True):
            answers[index] = text
            if on_answer is not None:
                on_answer(index, text)
    return answers


def _answer(local: LocalModel, prompts: list[list[int]], max_tokens: int) -> list[str]:
    import torch

    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), local.tokenizer.pad_token_id)  # (batch, width)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    with torch.inference_mode():
        output: torch.Tensor = local.model.generate(
            ids.to(local.model.device), attention_mask=mask.to(local.model.device),
            do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None,
            max_new_tokens=min(max_tokens, local.context - width),
            pad_token_id=local.tokenizer.pad_token_id,
        )  # fmt: skip
    texts: list[str] = local.tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
    return texts
