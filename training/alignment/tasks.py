"""The inputs of a prepared data set with their references, and the model that answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training.alignment.errors import AlignmentError
from training.examples import ChatTokenizer, read_rows
from training.layout import LayoutError, load_model
from training.model import Llama
from training.packing import Tokens
from training.quality import dev_set


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


def model_folder(path: Path) -> Path:
    """The model folder of a run folder, or the folder itself. Raises LayoutError where there is none."""
    folder = path / "model" if (path / "model").is_dir() else path
    if not (folder / "model.safetensors").is_file():
        raise LayoutError(f"{path}: holds no model; run `python -m training sft` first, or give --from DIR")
    return folder


def load_start(path: Path) -> Start:
    """Model and tokenizer of a run or model folder. Raises LayoutError or ExamplesError."""
    folder = model_folder(path)
    return Start(folder, load_model(folder), ChatTokenizer(folder))


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
    """The dev inputs on which every technique is measured (references-dev.jsonl). Raises EvaluationError."""
    wanted = dev_set(data)
    return [
        TaskInput(str(number), [{"role": "user", "content": text}], references)
        for number, (text, references) in enumerate(zip(wanted.inputs or [], wanted.groups, strict=True))
    ]


def encode_prompts(tokenizer: ChatTokenizer, inputs: Sequence[TaskInput]) -> list[Tokens]:
    """Token ids of each conversation up to where the answer begins."""
    return tokenizer.encode([tokenizer.prompt(item.messages) for item in inputs])


def that_fit(
    inputs: Sequence[TaskInput], start: Start, room: int, where: str
) -> tuple[list[TaskInput], list[Tokens]]:
    """The inputs (and their tokens) that leave `room` positions in the context; raises AlignmentError if
    none."""
    limit = start.model.config.max_position_embeddings - room
    encoded = encode_prompts(start.tokenizer, inputs)
    kept = [index for index, tokens in enumerate(encoded) if len(tokens) <= limit]
    if not kept:
        raise AlignmentError(
            f"{where}: every prompt is longer than {limit} tokens (context less max_new_tokens = {room}); "
            "lower max_new_tokens or take a model with a longer context"
        )
    return [inputs[index] for index in kept], [encoded[index] for index in kept]


def draw(count: int, wanted: int, *seed: int) -> list[int]:
    """`wanted` different indices below `count` in random order (all of them where there are fewer)."""
    return np.random.default_rng(seed).permutation(count)[:wanted].tolist()  # type: ignore[no-any-return]
