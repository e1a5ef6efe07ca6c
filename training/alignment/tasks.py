"""The inputs of a prepared data set with their references, and the model that answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from training.alignment.errors import AlignmentError
from training.examples import ChatTokenizer, ExamplesError, read_rows
from training.layout import LayoutError, load_model, model_folder
from training.model import Llama
from training.packing import Tokens
from training.quality import dev_set

REWARD_HEAD = "score.weight"
"""The tensor that makes a model a reward model; Hugging Face's name."""


@dataclass(slots=True)
class TaskInput:
    """One distinct conversation that asks for an answer."""

    id: str
    messages: list[dict[str, str]]
    references: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The last user turn, where the attribute list is."""
        return self.messages[-1]["content"]


@dataclass(slots=True)
class Start:
    """A model to start from, with its tokenizer."""

    folder: Path
    model: Llama
    tokenizer: ChatTokenizer

    @property
    def eos(self) -> int:
        """Id of the token that ends an answer."""
        return int(self.tokenizer.special["eos"])


def load_start(path: Path) -> Start:
    """Model and tokenizer of a run or model folder. Raises LayoutError or ExamplesError."""
    folder = model_folder(path)
    if scores_answers(folder):
        raise LayoutError(f"{path}: is a reward model, which gives no answers; give a fine-tuned one")
    return Start(folder, load_model(folder), ChatTokenizer(folder))


def scores_answers(folder: Path) -> bool:
    """Whether a model folder holds a reward model: it has a head that gives one number."""
    try:
        with safe_open(folder / "model.safetensors", framework="pt") as stored:
            return REWARD_HEAD in stored.keys()  # noqa: SIM118 - it is no dict
    except (OSError, SafetensorError):
        return False  # whoever loads it will say what is wrong


def read_inputs(path: Path) -> list[TaskInput]:
    """The distinct conversations of a split in order of first appearance, with all their answers.

    Raises ExamplesError for a missing or broken file, AlignmentError where no row has an answer.
    """
    found: dict[str, TaskInput] = {}
    for row in read_rows(path):
        *prompt, answer = row.get("messages") or [{}]
        if not prompt or answer.get("role") != "assistant":
            continue
        item = found.setdefault(repr(prompt), TaskInput(str(row.get("id", "")), prompt))
        if answer["content"] not in item.references:
            item.references.append(answer["content"])
    if not found:
        raise AlignmentError(f"{path}: no row has an assistant's answer: there is no input to work on")
    return list(found.values())


def dev_inputs(data: Path) -> list[TaskInput]:
    """The dev inputs on which every technique is measured (references-dev.jsonl).

    Raises ExamplesError where there are none, EvaluationError where they cannot be read.
    """
    path = data / "references-dev.jsonl"
    if not path.is_file():
        raise ExamplesError(f"{path}: no such file; `python -m training data --config …` prepares a data set")
    wanted = dev_set(data)
    return [
        TaskInput(str(number), [{"role": "user", "content": text}], references)
        for number, (text, references) in enumerate(zip(wanted.inputs or [], wanted.groups, strict=True))
    ]


def encode_prompts(tokenizer: ChatTokenizer, inputs: Sequence[TaskInput]) -> list[Tokens]:
    """Token ids of each conversation up to where the answer begins."""
    return tokenizer.encode([tokenizer.prompt(item.messages) for item in inputs])


def that_fit(
    inputs: Sequence[TaskInput], start: Start, room: int, where: str, row_tokens: int | None = None
) -> tuple[list[TaskInput], list[Tokens]]:
    """The inputs (and their tokens) that leave `room` positions for an answer in the context, and in a row.

    Raises AlignmentError where none does.
    """
    context = start.model.config.max_position_embeddings
    limit = min(context, row_tokens or context) - room
    encoded = encode_prompts(start.tokenizer, inputs)
    kept = [index for index, tokens in enumerate(encoded) if len(tokens) <= limit]
    if not kept:
        raise AlignmentError(
            f"{where}: every prompt is longer than the {limit} tokens that max_new_tokens = {room} leaves of "
            + (
                f"row_tokens = {row_tokens}; raise row_tokens"
                if limit < context - room
                else f"the context of {context}; take a model with a longer context"
            )
            + ", or lower max_new_tokens"
        )
    return [inputs[index] for index in kept], [encoded[index] for index in kept]


def draw(count: int, wanted: int, *seed: int) -> list[int]:
    """`wanted` different indices below `count` in random order (all of them where there are fewer)."""
    return np.random.default_rng(seed).permutation(count)[:wanted].tolist()  # type: ignore[no-any-return]
