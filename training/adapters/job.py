"""`python -m training adapt`: fine-tune through an adapter; writes adapter, merged model and outcome."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from training.adapters.files import load_adapted, merge
from training.adapters.kind import AdapterKind
from training.adapters.methods import add_adapter
from training.adapters.model import AdaptedModel, adapter_loss
from training.adapters.settings import MERGEABLE, AdaptConfig, DoraMethod, Ia3Method, LoraMethod, Method
from training.examples import ChatTokenizer, read_answers
from training.job import finished_result, identity_of, run_task, summary
from training.layout import LayoutError, model_folder
from training.measure import Technique, describe, measure, whole_model
from training.outcome import NAME as OUTCOME
from training.prepare import Task
from training.quality import MAX_NEW_TOKENS


def adapt(settings: AdaptConfig) -> dict[str, Any]:
    """Run the job; returns its result. What is done already (training, scoring) is not done again."""
    base = model_folder(settings.start)
    folder = settings.tokenizer or base
    tokenizer = ChatTokenizer(folder)
    kind = AdapterKind(base)
    identity = identity_of("adapt", settings, folder, base)
    result = finished_result(settings, identity, kind.artifact)
    if result is None:
        (settings.output / OUTCOME).unlink(missing_ok=True)  # of an earlier run with other settings
        model = new_model(settings, base)
        task = Task("adapt", settings, tokenizer, model, read_answers, adapter_loss, kind)
        result = run_task(task, identity)
        print(summary(result, settings.output))
    else:
        print(f"already done: {summary(result, settings.output)}")
    if not (settings.output / OUTCOME).is_file():
        _finish(settings, base)
    return result


def new_model(settings: AdaptConfig, base: Path) -> AdaptedModel:
    """The frozen base model with a fresh adapter, a function of the seed."""
    from evaluation.local import load_local

    model = load_local(base).model
    torch.manual_seed(settings.seed)
    return AdaptedModel(add_adapter(model, settings.adapter, base, settings.dropout).train())


def label_of(method: Method) -> str:
    """For tables and plots."""
    if isinstance(method, LoraMethod | DoraMethod):
        return f"{'LoRA' if isinstance(method, LoraMethod) else 'DoRA'} r = {method.rank}"
    if isinstance(method, Ia3Method):
        return "IA3"
    name = {"prefix": "Prefix tuning", "prompt": "Prompt tuning", "ptuning": "P-tuning"}[method.method]
    return f"{name}, {method.virtual_tokens} tokens"


def _finish(settings: AdaptConfig, base: Path) -> None:
    """Merge where the method can be merged, answer the dev inputs, write the outcome."""
    method, output = settings.adapter, settings.output
    adapter = output / "adapter"
    if method.method in MERGEABLE:
        merge(base, adapter, output / "model")
    technique = Technique(method.method, label_of(method), "adapter")
    answer = answerer(base, adapter, output / "model")
    outcome = measure(output, technique, answer, adapter=adapter, inputs=settings.quality_inputs)
    print(describe(outcome))


def answerer(base: Path, adapter: Path, merged: Path) -> Callable[[Sequence[str]], list[str]]:
    """Greedy answers of the merged model by our own module, else of base and adapter by transformers."""
    if (merged / "model.safetensors").is_file():
        try:
            return whole_model(merged)
        except LayoutError:
            pass  # a Llama of another make, or no Llama at all: transformers can
    return lambda questions: answer_by_transformers(base, adapter, questions)


def answer_by_transformers(
    base: Path, adapter: Path, questions: Sequence[str], max_tokens: int = MAX_NEW_TOKENS
) -> list[str]:
    """Greedy answers of the base model with its adapter, in order."""
    from transformers import AutoTokenizer

    from evaluation.local import LocalModel, generate_local, prompt_ids

    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    local = LocalModel(load_adapted(base, adapter), tokenizer)
    # PEFT puts virtual tokens in front of the padding and counts it as positions: only prompts of one length
    # share a batch.
    by_length: dict[int, list[int]] = {}
    for index, question in enumerate(questions):
        by_length.setdefault(len(prompt_ids(local, question)), []).append(index)
    answers = [""] * len(questions)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Position ids are not supported")
        for chosen in by_length.values():
            batch = generate_local(
                local, [questions[i] for i in chosen], max_tokens=max_tokens, numbers=[i + 1 for i in chosen]
            )
            for index, answer in zip(chosen, batch, strict=True):
                answers[index] = answer
    return answers
