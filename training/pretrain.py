"""`python -m training pretrain`: a new Llama learns to predict every token of a data set."""

from __future__ import annotations

from typing import Any

import torch

from training.config import PretrainConfig, resolve_model
from training.examples import ChatTokenizer, read_texts
from training.job import finished_result, identity_of, run_task, summary
from training.model import Llama
from training.prepare import Task
from training.tokenizer import train_tokenizer


def pretrain(settings: PretrainConfig) -> dict[str, Any]:
    """Run the job; returns its result. The tokenizer is trained too where none is given."""
    folder = settings.tokenizer or settings.output / "tokenizer"
    if settings.tokenizer is None and not (folder / "tokenizer.json").exists():
        train_tokenizer(settings.data, folder)
    tokenizer = ChatTokenizer(folder)
    identity = identity_of("pretrain", settings, folder)
    if result := finished_result(settings, identity):
        print(f"already done: {summary(result, settings.output)}")
        return result
    torch.manual_seed(settings.seed)
    model = Llama(resolve_model(settings.model), tokenizer.vocabulary, settings.dropout)
    result = run_task(Task("pretrain", settings, tokenizer, model, read_texts), identity)
    print(summary(result, settings.output))
    return result
