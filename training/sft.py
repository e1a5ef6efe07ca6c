"""`python -m training sft`: a pretrained model learns to answer; the loss counts the answers only."""

from __future__ import annotations

from typing import Any

from training.config import SftConfig
from training.examples import ChatTokenizer, read_answers
from training.job import finished_result, identity_of, run_task, summary
from training.layout import load_model, model_folder
from training.prepare import Task


def sft(settings: SftConfig) -> dict[str, Any]:
    """Run the job; returns its result."""
    start = model_folder(settings.start)
    folder = settings.tokenizer or start
    tokenizer = ChatTokenizer(folder)
    identity = identity_of("sft", settings, folder, start)
    if result := finished_result(settings, identity):
        print(f"already done: {summary(result, settings.output)}")
        return result
    model = load_model(start, settings.dropout)
    result = run_task(Task("sft", settings, tokenizer, model, read_answers), identity)
    print(summary(result, settings.output))
    return result
