"""What the techniques wrote, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.curriculum.aggregate import Row
from training.quality import dev_set


@dataclass(frozen=True, slots=True)
class Sample:
    """One input, its references, and each distinct answer with the techniques that gave it."""

    input: str
    references: list[str]
    answers: list[tuple[str, list[str]]]


def samples_of(rows: Sequence[Row], count: int) -> list[Sample]:
    """`count` inputs spread evenly over those that every technique with stored answers answered.

    The answers are those of each technique's lowest seed that kept some.
    """
    answers = {
        row.key: found
        for row in rows
        if (found := next((made for r in row.records if (made := r.answers())), {}))
    }
    if not answers:
        return []
    wanted = dev_set(Path(rows[0].first.data))
    common = [
        (text, group)
        for text, group in zip(wanted.inputs or [], wanted.groups, strict=True)
        if all(text in found for found in answers.values())
    ]
    number = min(count, len(common))
    chosen = [common[index * len(common) // number] for index in range(number)]
    return [Sample(text, group, _grouped(text, answers)) for text, group in chosen]


def _grouped(text: str, answers: dict[str, dict[str, str]]) -> list[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for key, found in answers.items():
        groups.setdefault(found[text], []).append(key)
    return list(groups.items())
