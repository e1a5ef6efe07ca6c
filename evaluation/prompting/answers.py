"""Answers kept on disk by content, and the ledger of what they cost."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from common.files import FileError, atomic_write
from evaluation.prompting.models import PromptModel
from evaluation.prompting.render import Prompt


@dataclass(slots=True)
class Ledger:
    """Forward tokens that were spent; every distinct prompt is paid for once."""

    limit: int
    spent: int = 0
    seconds: float = 0.0
    """What the model took for the answers, also where an earlier, interrupted run had asked for them."""
    _paid: set[str] = field(default_factory=set)

    @property
    def left(self) -> int:
        """What may still be spent."""
        return self.limit - self.spent

    @property
    def questions(self) -> int:
        """Different prompts that were paid for."""
        return len(self._paid)

    def is_paid(self, key: str) -> bool:
        """Whether the answer to this prompt costs nothing more."""
        return key in self._paid

    def pay(self, key: str, tokens: int, seconds: float) -> None:
        """Book an answer."""
        if key not in self._paid:
            self._paid.add(key)
            self.spent += tokens
            self.seconds += seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """A text, and the time since the answer before it."""

    text: str
    seconds: float


class AnswerBook:
    """Asks a model, each prompt once, also over interruptions: answers are on disk as soon as they are there.

    An answer from an earlier run is booked like a fresh one, so that a resumed search spends what an
    uninterrupted one spends and finds the same.
    """

    def __init__(self, model: PromptModel, path: Path, max_tokens: int) -> None:
        self.model, self._path, self._max_tokens = model, path, max_tokens
        self._known = _read(path)
        lines = (_line(key, answer) for key, answer in self._known.items())
        # Rewritten, so that a line cut short by a crash is not glued to the next one.
        atomic_write(path, "".join(lines))

    def key(self, prompt: Prompt) -> str:
        """What an answer is kept by: the model, the longest answer and the conversation."""
        content = json.dumps([self.model.fingerprint, self._max_tokens, prompt.conversation])
        return hashlib.sha256(content.encode()).hexdigest()

    def ask(self, prompts: Sequence[Prompt], title: str, ledger: Ledger | None = None) -> list[str]:
        """One answer per prompt, in order; `ledger` pays for those that it has not paid yet.

        Raises the TriviumErrors of the model, and FileError where the disk is full.
        """
        keys = [self.key(prompt) for prompt in prompts]
        missing = list({k: p for k, p in zip(keys, prompts, strict=True) if k not in self._known}.items())
        if missing:
            self._answer(missing, title)
        if ledger is not None:
            for key, prompt in zip(keys, prompts, strict=True):
                answer = self._known[key]
                ledger.pay(key, prompt.tokens + self.model.text_tokens(answer.text), answer.seconds)
        return [self._known[key].text for key in keys]

    def _answer(self, missing: Sequence[tuple[str, Prompt]], title: str) -> None:
        last = time.perf_counter()
        with (
            self._path.open("a", encoding="utf-8") as stream,
            tqdm(total=len(missing), desc=title, unit="answer", file=sys.stderr, dynamic_ncols=True) as bar,
        ):

            def keep(index: int, text: str) -> None:
                nonlocal last
                key, now = missing[index][0], time.perf_counter()
                self._known[key] = Answer(text, now - last)
                last = now
                try:
                    stream.write(_line(key, self._known[key]))
                    stream.flush()
                except OSError as exc:
                    raise FileError(f"{self._path}: could not be written: {exc.strerror or exc}") from exc
                bar.update()

            self.model.answer([prompt.conversation for _, prompt in missing], self._max_tokens, keep)


def _line(key: str, answer: Answer) -> str:
    return json.dumps({"key": key, "text": answer.text, "seconds": answer.seconds}) + "\n"


def _read(path: Path) -> dict[str, Answer]:
    known: dict[str, Answer] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                known[str(row["key"])] = Answer(str(row["text"]), float(row["seconds"]))
            except (ValueError, KeyError, TypeError):
                continue  # a kill can cut the last line short
    return known
