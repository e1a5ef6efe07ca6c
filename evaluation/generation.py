"""One output per input, written so that an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tqdm import tqdm

from common.files import FileError, atomic_write
from evaluation.prompts import Conversation

Produce = Callable[[Sequence[Conversation], Sequence[int], Callable[[int, str], None]], object]
"""Answers prompts (with their numbers in the file) and calls back with (index into them, text) for each."""


def generate_file(
    prompts: Sequence[Conversation], output: Path, settings: dict[str, str], produce: Produce
) -> int:
    """Write one line per prompt to `output`; returns how many answers an earlier, interrupted run had left.

    Answers are kept in `<output>.part.jsonl` until all are there; the final file appears whole or not at
    all. `settings` (model digest, road, format …) and the prompts must be the same for a run to be continued.
    """
    with _Journal(output, prompts, settings) as journal:
        missing = [i for i in range(len(prompts)) if i not in journal.answers]
        kept = len(prompts) - len(missing)
        with tqdm(
            total=len(prompts), initial=kept, unit="output", file=sys.stderr, dynamic_ncols=True
        ) as bar:

            def keep(position: int, text: str) -> None:
                journal.add(missing[position], text)
                bar.update()

            if missing:
                produce([prompts[i] for i in missing], [i + 1 for i in missing], keep)
        lines = [one_line(journal.answers[i]) for i in range(len(prompts))]
        atomic_write(output, "".join(f"{line}\n" for line in lines))
        journal.done = True
    return kept


def one_line(text: str) -> str:
    """The text with every line break as a space, outer white space removed."""
    return " ".join(part.strip() for part in text.splitlines()).strip()


class _Journal:
    """The answers so far, each on disk as soon as it is there; removed when the run is done."""

    def __init__(self, output: Path, prompts: Sequence[Conversation], settings: dict[str, str]) -> None:
        self.path = output.with_name(f"{output.name}.part.jsonl")
        self.answers: dict[int, str] = {}
        self.done = False
        canonical = json.dumps([settings, list(prompts)], sort_keys=True)
        self._fingerprint = hashlib.sha256(canonical.encode()).hexdigest()

    def __enter__(self) -> Self:
        self.answers = self._read()
        header = json.dumps({"fingerprint": self._fingerprint})
        kept = [json.dumps({"index": i, "text": text}) for i, text in self.answers.items()]
        # Rewritten, so that a line cut short by a crash is not glued to the next one.
        atomic_write(self.path, "".join(f"{line}\n" for line in [header, *kept]))
        self._stream = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if self.done or not self.answers:
            self.path.unlink(missing_ok=True)

    def add(self, index: int, text: str) -> None:
        """Keep one answer. Raises FileError where the disk is full."""
        self.answers[index] = text
        try:
            self._stream.write(json.dumps({"index": index, "text": text}) + "\n")
            self._stream.flush()
        except OSError as exc:
            raise FileError(f"{self.path}: could not be written: {exc.strerror or exc}") from exc

    def _read(self) -> dict[int, str]:
        """Answers of an earlier run with the same settings and prompts; none where it was another one."""
        if not self.path.exists():
            return {}
        answers: dict[int, str] = {}
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        try:
            if not lines or json.loads(lines[0])["fingerprint"] != self._fingerprint:
                return {}
            for line in lines[1:]:
                row = json.loads(line)
                answers[int(row["index"])] = str(row["text"])
        except (ValueError, KeyError, TypeError):
            # A kill can cut the last line short; what came before it is good.
            return answers
        return answers
