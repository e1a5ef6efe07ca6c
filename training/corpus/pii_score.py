"""How well the PII stage finds the spans of a labelled set (presidio-research's JSON format)."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.corpus.config import CorpusError, PiiConfig
from training.corpus.stages.pii import PiiFinder

ALIASES = {"DOMAIN_NAME": "URL"}
"""Types of the labelled set under our names."""


@dataclass(frozen=True, slots=True)
class EntityScore:
    """Spans of one type. Exact: same borders and type. Touched: the labelled span is overlapped at all."""

    entity: str
    labelled: int
    found: int
    precision: float | None
    recall: float
    f1: float
    touched: float
    """Share of the labelled spans that a span of the same type overlaps."""


@dataclass(frozen=True, slots=True)
class PiiScore:
    """Per type that patterns look for, over all of those, and the labelled types that no pattern finds."""

    texts: int
    by_entity: list[EntityScore]
    overall: EntityScore
    not_looked_for: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def score(data: Path, settings: PiiConfig) -> PiiScore:
    """Score the finder on the file `data`. Raises CorpusError where it is no such file."""
    texts = _read(data)
    finder = PiiFinder(settings)
    labelled: Counter[str] = Counter()
    found: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    touched: Counter[str] = Counter()
    for text, truth in texts:
        spans = {(s.start, s.end, s.entity) for s in finder.find(text)}
        found.update(entity for _, _, entity in spans)
        labelled.update(entity for _, _, entity in truth)
        exact.update(entity for _, _, entity in spans & truth)
        for start, end, entity in truth:
            touched[entity] += any(s < end and e > start and name == entity for s, e, name in spans)
    wanted = sorted(set(settings.entities) & (set(labelled) | set(found)))
    rows = [_entity(name, labelled[name], found[name], exact[name], touched[name]) for name in wanted]
    totals = [sum(counts[name] for name in wanted) for counts in (labelled, found, exact, touched)]
    missed = {name: count for name, count in labelled.most_common() if name not in settings.entities}
    return PiiScore(len(texts), rows, _entity("all of these", *totals), missed)


def _entity(name: str, labelled: int, found: int, exact: int, touched: int) -> EntityScore:
    return EntityScore(
        entity=name, labelled=labelled, found=found,
        precision=round(exact / found, 4) if found else None,
        recall=round(exact / labelled, 4) if labelled else 0.0,
        f1=round(2 * exact / (found + labelled), 4) if found + labelled else 0.0,
        touched=round(touched / labelled, 4) if labelled else 0.0,
    )  # fmt: skip


def _read(data: Path) -> list[tuple[str, set[tuple[int, int, str]]]]:
    try:
        rows = json.loads(data.read_text(encoding="utf-8"))
        return [
            (
                row["full_text"],
                {
                    (s["start_position"], s["end_position"], ALIASES.get(s["entity_type"], s["entity_type"]))
                    for s in row["spans"]
                },
            )
            for row in rows
        ]
    except OSError as exc:
        raise CorpusError(f"{data}: cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise CorpusError(
            f"{data}: expected a JSON list of objects with `full_text` and `spans` "
            f"(start_position, end_position, entity_type): {exc}"
        ) from exc
