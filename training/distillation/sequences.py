"""The teacher's own answers to the training inputs, as a split file: made once, and resumed in parts."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.files import atomic_write
from training.distillation.settings import AnswersConfig
from training.examples import ChatTokenizer, ExamplesError, read_rows
from training.generate import Answer, generate_greedy, generate_sampled
from training.model import Llama
from training.quality import MAX_NEW_TOKENS

_PART = 256
"""Inputs whose answers are written together."""


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation up to an answer, and the answers that the data has for it."""

    messages: list[dict[str, str]]
    references: list[str]


def read_questions(path: Path) -> list[Question]:
    """The distinct conversations of a split that end before an assistant's answer. Raises ExamplesError."""
    found: dict[str, Question] = {}
    for row in read_rows(path):
        messages = row.get("messages") or []
        for turn, message in enumerate(messages):
            if message["role"] == "assistant" and turn:
                key = json.dumps(messages[:turn])
                found.setdefault(key, Question(messages[:turn], [])).references.append(message["content"])
    if not found:
        raise ExamplesError(f"{path}: no row has an assistant message: there is nothing to ask the teacher")
    return list(found.values())


class TeacherAnswers:
    """Answers of one teacher to one split, in `folder`; `identity` is what decides them."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.path = folder / "train.jsonl"
        self._identity = json.dumps(identity, indent=2, sort_keys=True) + "\n"

    def make(
        self, questions: Sequence[Question], teacher: Llama, tokenizer: ChatTokenizer,
        settings: AnswersConfig, seed: int,
    ) -> Path:  # fmt: skip
        """Answer all questions, or those that an interrupted job left; returns the split file."""
        note = self.folder / "identity.json"
        if not note.is_file() or note.read_text(encoding="utf-8") != self._identity:
            shutil.rmtree(self.folder, ignore_errors=True)  # of another teacher, data set or way to choose
            atomic_write(note, self._identity)
        if self.path.is_file():
            return self.path
        parts = []
        for number, start in enumerate(range(0, len(questions), _PART)):
            part = self.folder / f"part-{number:05d}.jsonl"
            parts.append(part)
            if not part.is_file():
                chosen = questions[start : start + _PART]
                generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
                answers = answer(chosen, teacher, tokenizer, settings, generator)
                atomic_write(part, "".join(_rows(start, chosen, answers)))
                print(f"teacher: {start + len(chosen):,} of {len(questions):,} answered", file=sys.stderr)
        atomic_write(self.path, "".join(part.read_text(encoding="utf-8") for part in parts))
        for part in parts:
            part.unlink()
        return self.path


def answer(
    questions: Sequence[Question], teacher: Llama, tokenizer: ChatTokenizer, settings: AnswersConfig,
    generator: torch.Generator,
) -> list[str | None]:  # fmt: skip
    """One answer each; None where the question leaves no room for one."""
    prompts = [ids.tolist() for ids in tokenizer.encode([tokenizer.prompt(q.messages) for q in questions])]
    fitting = [i for i, ids in enumerate(prompts) if len(ids) < teacher.config.max_position_embeddings]
    chosen, eos = [prompts[i] for i in fitting], tokenizer.special["eos"]
    if settings.candidates == 1:
        greedy = generate_greedy(teacher, chosen, eos, MAX_NEW_TOKENS)
        texts = [tokenizer.decode(tokens) for tokens in greedy]
    else:
        sampled = generate_sampled(
            teacher, chosen, eos, MAX_NEW_TOKENS, generator, answers_per_prompt=settings.candidates,
            temperature=settings.temperature,
        )  # fmt: skip
        texts = [
            tokenizer.decode(best_of(candidates, questions[i].references, tokenizer, settings).tokens)
            for i, candidates in zip(fitting, sampled, strict=True)
        ]
    by_index = dict(zip(fitting, texts, strict=True))
    return [by_index.get(i) for i in range(len(questions))]


def best_of(
    candidates: Sequence[Answer], references: Sequence[str], tokenizer: ChatTokenizer, settings: AnswersConfig
) -> Answer:
    """The candidate to keep: by the teacher's own probability, or by likeness to the references."""
    if settings.keep == "likeliest":
        return max(candidates, key=lambda c: sum(c.log_probs) / max(1, len(c.log_probs)))
    from sacrebleu import sentence_chrf

    return max(candidates, key=lambda c: sentence_chrf(tokenizer.decode(c.tokens), list(references)).score)


def _rows(start: int, questions: Sequence[Question], answers: Sequence[str | None]) -> Iterator[str]:
    for number, (question, text) in enumerate(zip(questions, answers, strict=True), start):
        if text is not None:
            messages = [*question.messages, {"role": "assistant", "content": text}]
            yield json.dumps({"id": f"teacher-{number}", "messages": messages}, ensure_ascii=False) + "\n"
