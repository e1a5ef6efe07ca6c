"""The rows of a task: what may be learnt from, and what is held out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.corpora import read_jsonl
from evaluation.errors import EvaluationError
from evaluation.prompting.task import PromptTask
from evaluation.prompts import is_message


@dataclass(frozen=True, slots=True)
class Example:
    """One distinct input."""

    key: str
    """The user message as it stands in the data set."""
    content: str
    """What a prompt is put around: the message, or its body."""
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pools:
    """The inputs of a task by their use; no input is in two of them."""

    search: tuple[Example, ...]
    demonstrations: tuple[Example, ...]
    report: tuple[Example, ...]

    @property
    def labelled(self) -> tuple[Example, ...]:
        """All that a prompt, written or learnt, may be found from."""
        return (*self.search, *self.demonstrations)


def read_pools(task: PromptTask) -> Pools:
    """Draw the pools, a function of the task alone. Raises EvaluationError where rows are missing."""
    known = _read(task, "train")
    held = [example for split in task.report_splits for example in _read(task, split)]
    held = list({example.key: example for example in held}.values())
    wanted = task.sizes.search + task.sizes.demonstrations
    if len(known) < wanted:
        raise EvaluationError(
            f"{task.data / 'train.jsonl'}: {len(known)} inputs of task {task.rows!r}; sizes.search and "
            f"sizes.demonstrations ask for {wanted}: lower them or prepare more data"
        )
    drawn = random.Random(f"{task.seed}/pools").sample(known, wanted)
    if task.sizes.report is not None:
        held = _some(held, task.sizes.report, task)
    return Pools(tuple(drawn[: task.sizes.search]), tuple(drawn[task.sizes.search :]), tuple(held))


def _some(held: Sequence[Example], count: int, task: PromptTask) -> list[Example]:
    if len(held) < count:
        raise EvaluationError(
            f"{task.data}: {len(held)} held-out inputs of task {task.rows!r} in "
            f"{', '.join(task.report_splits)}; sizes.report asks for {count}: lower it, or leave it out to "
            "take all"
        )
    return random.Random(f"{task.seed}/report").sample(list(held), count)


def _read(task: PromptTask, split: str) -> list[Example]:
    path = task.data / f"{split}.jsonl"
    if not path.is_file():
        raise EvaluationError(f"{path}: no such file; `python -m training data` prepares a data set")
    answers: dict[str, list[str]] = {}
    kinds: Counter[str] = Counter()
    for number, row in read_jsonl(path):
        kinds[str(row.get("task"))] += 1
        if row.get("task") == task.rows:
            question, answer = _pair(path, number, row.get("messages"))
            answers.setdefault(question, []).append(answer)
    if not answers:
        there = ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common()) or "none: it is empty"
        raise EvaluationError(f"{path}: no rows of task {task.rows!r}; rows there by task: {there}")
    return [
        Example(key, _content(path, key, task), tuple(dict.fromkeys(found))) for key, found in answers.items()
    ]


def _pair(path: Path, number: int, messages: object) -> tuple[str, str]:
    if isinstance(messages, list) and len(messages) == 2 and all(is_message(m) for m in messages):
        first, last = messages
        if (first["role"], last["role"]) == ("user", "assistant"):
            return first["content"], last["content"]
    raise EvaluationError(f"{path}:{number}: a prompt task needs rows of one question and one answer")


def _content(path: Path, key: str, task: PromptTask) -> str:
    if task.input == "whole":
        return key
    instruction, _, body = key.partition("\n")
    if not body.strip():
        raise EvaluationError(
            f"{path}: input {instruction[:60]!r} has one line only, so that nothing is left of it with "
            "input: body; take input: whole"
        )
    return body
