"""Golden prompts: what the model must answer, by the reference (transformers, fp32, CPU, greedy)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundle.errors import BundleError
from bundle.manifest import GoldenPrompt, Message


def read_prompts(path: Path, limit: int) -> list[list[Message]]:
    """The first `limit` distinct prompts of a file, as conversations that end with the user's turn.

    JSONL rows with `messages` (a final assistant turn is dropped), `input` or `prompt`; or plain text, one
    prompt a line. Raises BundleError naming the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise BundleError(f"{path}: prompts cannot be read: {exc}") from exc
    prompts: list[list[Message]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        prompt = _parse_prompt(line, f"{path}:{number}")
        if prompt not in prompts:
            prompts.append(prompt)
        if len(prompts) == limit:
            break
    if not prompts:
        raise BundleError(f"{path}: no prompt in this file")
    return prompts


def compute_golden(model_dir: Path, prompts: list[list[Message]], max_new_tokens: int) -> list[GoldenPrompt]:
    """Greedy answers of the model in `model_dir`, one prompt at a time (padding would change the arithmetic).

    One thread, so that sums are made in one order and the same machine gives the same gaps again.
    Raises BundleError when the model cannot be loaded or a prompt does not fit its context.
    """
    import torch
    from transformers import GenerationConfig

    with _single_thread(torch), _quiet_transformers():
        model, tokenizer = _load(model_dir)
        model.eval()
        stops = _stop_ids(model, tokenizer)
        config = GenerationConfig(
            do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=stops or None, use_cache=True,
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (stops or [0])[0],
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        # `generate` fills what a config leaves open from the model's own (repetition penalty and the like).
        model.generation_config = config
        return [_answer(torch, model, tokenizer, config, prompt) for prompt in prompts]


def _load(model_dir: Path) -> tuple[Any, Any]:
    """Model (fp32) and tokenizer. A missing weight is an error: transformers would fill it at random."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
        model, report = AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=torch.float32, attn_implementation="eager", local_files_only=True,
            use_safetensors=True, output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as exc:
        raise BundleError(
            f"{model_dir}: transformers cannot load this model: {' '.join(str(exc).split())}"
        ) from exc
    missing = sorted(report["missing_keys"])
    if missing:
        raise BundleError(f"{model_dir}: the weights lack {missing[0]} (and {len(missing) - 1} more)")
    return model, tokenizer


def _answer(torch: Any, model: Any, tokenizer: Any, config: Any, messages: list[Message]) -> GoldenPrompt:
    prompt_ids = _encode(tokenizer, messages)
    context = getattr(model.config, "max_position_embeddings", None)
    if not prompt_ids or (context and len(prompt_ids) + config.max_new_tokens > context):
        raise BundleError(
            f"golden prompt {messages[-1].content[:60]!r}: {len(prompt_ids)} tokens and "
            f"{config.max_new_tokens} new ones do not fit the context of {context}; "
            "give shorter prompts or a smaller --max-new-tokens"
        )
    inputs = torch.tensor([prompt_ids])
    with torch.inference_mode():
        output = model.generate(inputs, attention_mask=torch.ones_like(inputs), generation_config=config)
    generated = output.sequences[0, len(prompt_ids) :].tolist()
    gaps = []
    for step in output.logits:
        top = torch.topk(step[0].float(), k=2).values
        gaps.append(round(float(top[0] - top[1]), 5))
    stops = config.eos_token_id or []
    if generated and generated[-1] in stops:
        generated = generated[:-1]
    return GoldenPrompt(
        messages=messages, prompt_token_ids=prompt_ids, expected_token_ids=generated, top_logit_gaps=gaps
    )


def _encode(tokenizer: Any, messages: list[Message]) -> list[int]:
    """Token ids by the chat template; for a base model without one, of the plain text of the last turn."""
    if tokenizer.chat_template:
        from jinja2 import TemplateError

        turns = [message.model_dump() for message in messages]
        try:
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except TemplateError as exc:
            raise BundleError(f"golden prompt {turns[-1]['content'][:60]!r}: chat template: {exc}") from exc
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    return list(tokenizer(messages[-1].content)["input_ids"])


def _stop_ids(model: Any, tokenizer: Any) -> list[int]:
    ids = model.generation_config.eos_token_id
    if ids is None:
        ids = tokenizer.eos_token_id
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


def _parse_prompt(line: str, where: str) -> list[Message]:
    if not line.lstrip().startswith("{"):
        return [Message(role="user", content=line.strip())]
    try:
        row = json.loads(line)
        if "messages" in row:
            messages = [Message(role=turn["role"], content=turn["content"]) for turn in row["messages"]]
            if messages and messages[-1].role == "assistant":
                messages.pop()
        else:
            messages = [Message(role="user", content=row["input"] if "input" in row else row["prompt"])]
    except (ValueError, KeyError, TypeError) as exc:
        raise BundleError(f"{where}: expected a row with `messages`, `input` or `prompt`") from exc
    if not messages or not messages[-1].content.strip():
        raise BundleError(f"{where}: the prompt is empty")
    return messages


@contextmanager
def _single_thread(torch: Any) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No loading bar for a job of a second."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
