"""The outcomes of a suite, checked: readable, of one data set, each technique and seed once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.measure import ANSWERS
from training.outcome import NAME, Outcome, OutcomeError


@dataclass(frozen=True, slots=True)
class Record:
    """One outcome and the run folder that it was read from."""

    folder: Path
    outcome: Outcome

    @property
    def answers_file(self) -> Path | None:
        """The stored answers to the dev inputs, if they were kept."""
        named = self.outcome.answers
        path = Path(named) if named else self.folder / ANSWERS
        return path if path.is_file() else None

    def answers(self) -> dict[str, str]:
        """Input → answer; empty where none were kept. Raises OutcomeError for a broken file."""
        path = self.answers_file
        if path is None:
            return {}
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
            return {row["input"]: row["output"] for row in rows}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise OutcomeError(
                f"{path}: not answers, one {{input, output}} a line ({exc!r}); run that technique again"
            ) from exc


def read_records(runs: Path) -> list[Record]:
    """Every outcome below `runs`, by technique and seed.

    Raises OutcomeError where there is none, where one cannot be read, and where they cannot be compared.
    """
    if not runs.is_dir():
        raise OutcomeError(f"--runs {runs}: no such folder; `make train-all` writes one")
    files = sorted(runs.rglob(NAME))
    if not files:
        raise OutcomeError(
            f"--runs {runs}: no {NAME} below it; run `make train-all`, or `python -m training outcome` "
            "for a finished run"
        )
    records = [Record(file.parent, Outcome.read(file.parent)) for file in files]
    _check_data(records)
    _check_doubles(records)
    return sorted(records, key=lambda record: (record.outcome.technique, record.outcome.seed))


def _check_data(records: Sequence[Record]) -> None:
    """Figures on different inputs say nothing about each other."""
    sets: dict[Path, list[Record]] = {}
    for record in records:
        sets.setdefault(Path(record.outcome.data).resolve(), []).append(record)
    if len(sets) < 2:
        return
    few = min(sets.values(), key=len)
    many = max((found for found in sets.values() if found is not few), key=len)
    raise OutcomeError(
        f"{few[0].folder / NAME}: measured on {few[0].outcome.data}, the others on {many[0].outcome.data} "
        f"(for example {many[0].folder}); compare one data set at a time: move one of them out, or give "
        "another --runs"
    )


def _check_doubles(records: Sequence[Record]) -> None:
    seen: dict[tuple[str, int], Record] = {}
    for record in records:
        key = (record.outcome.technique, record.outcome.seed)
        if key in seen:
            raise OutcomeError(
                f"{record.folder / NAME}: {key[0]} with seed {key[1]} is also in {seen[key].folder}; "
                "keep one of them"
            )
        seen[key] = record
