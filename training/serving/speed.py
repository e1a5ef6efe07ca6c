"""Load what is served and time it: transformers' `generate`, a full batch at a time, in turns."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch

from evaluation.local import LocalModel, load_local, prompt_ids
from evaluation.prompts import Message
from training.adapters.files import load_adapted
from training.serving.plan import ServingError, Target, WrittenPrompt
from training.serving.settings import ServingConfig


@dataclass(slots=True)
class Contender:
    """A loaded model with its batch, and the rates of its turns in tokens/s."""

    target: Target
    local: LocalModel
    inputs: Any
    """Padded ids and mask, [B, T] each."""
    prompt_tokens: float
    """Mean of an input, without padding and without virtual tokens."""
    virtual_tokens: int
    rates: list[float] = field(default_factory=list)

    def turn(self, new_tokens: int) -> float:
        """Answer the batch; returns output tokens/s. Raises ServingError for another length of answer."""
        tokenizer, width = self.local.tokenizer, self.inputs["input_ids"].shape[1]
        started = time.perf_counter()
        with torch.inference_mode():
            output = self.local.model.generate(
                **self.inputs, do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None,
                min_new_tokens=new_tokens, max_new_tokens=new_tokens, use_cache=True,
                pad_token_id=tokenizer.pad_token_id,
            ).cpu()  # fmt: skip
        seconds = time.perf_counter() - started
        rows, length = output.shape
        if length != width + new_tokens:
            raise ServingError(
                f"{self.target.name}: {length - width} tokens came, not {new_tokens}: nothing to compare with"
            )
        return float(rows * new_tokens / seconds)


def load(target: Target, texts: Sequence[str], config: ServingConfig) -> Contender:
    """Load a target and prepare its batch from dev inputs.

    Raises TriviumError for what cannot be loaded, and for answers that do not fit the context.
    """
    local = load_local(target.model, config.precision)
    conversations: Sequence[str | Sequence[Message]] = list(texts)
    if target.prompt:
        conversations = written(local, target.prompt, texts)
    virtual = 0
    if target.adapter:
        local = LocalModel(load_adapted(target.model, target.adapter), local.tokenizer)
        settings = local.model.active_peft_config
        virtual = int(settings.num_virtual_tokens) if settings.is_prompt_learning else 0
    ids = [prompt_ids(local, conversation) for conversation in conversations]
    needed = max(map(len, ids)) + virtual + config.new_tokens
    if needed > local.context:
        raise ServingError(
            f"{target.name}: prompt and {config.new_tokens} new tokens are {needed}, the context has "
            f"{local.context}; lower new_tokens"
        )
    inputs = local.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(local.model.device)
    kept = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    return Contender(target, local, kept, fmean(map(len, ids)), virtual)


def written(local: LocalModel, prompt: WrittenPrompt, texts: Sequence[str]) -> list[Sequence[Message]]:
    """The conversations of a written prompt as its search asked them. Raises TriviumError."""
    from evaluation.prompting.examples import read_pools
    from evaluation.prompting.render import fitted
    from evaluation.prompting.task import PromptTask
    from training.prompting.table import read_search

    report = read_search(prompt.search)
    task = PromptTask.from_dict(report.task, str(prompt.search))
    pools = read_pools(task)
    by_key = {example.key: example for example in pools.report}
    if missing := [text for text in texts if text not in by_key]:
        raise ServingError(
            f"{prompt.search}: {len(missing)} of the dev inputs are not among those of its report"
        )
    room = min(task.context or local.context, local.context) - task.max_tokens
    candidate = report.arm(prompt.arm).candidate
    return [
        fitted(
            candidate, by_key[text], pools.demonstrations, task.seed,
            lambda conversation: len(prompt_ids(local, conversation)), room,
        ).conversation
        for text in texts
    ]  # fmt: skip


def take_turns(contenders: Sequence[Contender], config: ServingConfig) -> Iterator[int]:
    """All warm up, then go through the rounds, each in an order of its own; yields each round's number.

    Rates are appended to the contenders, one a round.
    """
    order, rng = list(contenders), random.Random(f"{config.seed}/turns")
    with warnings.catch_warnings():
        # PEFT counts positions from its virtual tokens; batches are padded here, and only time is looked at.
        warnings.filterwarnings("ignore", message="Position ids are not supported")
        for _ in range(config.warm_up):
            for contender in order:
                contender.turn(config.new_tokens)
        for number in range(config.rounds):
            rng.shuffle(order)
            for contender in order:
                contender.rates.append(contender.turn(config.new_tokens))
            yield number + 1
