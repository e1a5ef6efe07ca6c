"""What happened to the rows: in and out of each stage by source, with reasons; samples go to quarantine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import IO, Any

from training.corpus.rows import Row, quarantine_line

STAGES = ("read", "extract", "language", "quality", "pii", "decontaminate", "duplicates")


@dataclass
class Funnel:
    """Counts of a job. Memory grows with the number of reasons, not of rows."""

    quarantine: IO[str]
    samples: int
    """Fallen rows to write for each source, stage and reason."""
    documents: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    fallen: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    pii: Counter[str] = field(default_factory=Counter)
    masked_rows: int = 0
    kept_rows: Counter[str] = field(default_factory=Counter)
    kept_chars: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row, pii: dict[str, int]) -> None:
        """Count a row that has come to its end, kept or fallen."""
        origin = row["origin"]
        self.rows[origin] += 1
        self.documents[origin] += row["part"] == 0
        if row["fell_at"]:
            key = (origin, row["fell_at"], row["reason"])
            self.fallen[key] += 1
            if self.fallen[key] <= self.samples:
                self.quarantine.write(quarantine_line(row) + "\n")
            return
        self.kept_rows[origin] += 1
        self.kept_chars[origin] += len(row["text"])
        self.languages[row["lang"] or "unknown"] += 1
        self.licences[row["licence"] or "unknown"] += 1
        self.pii.update(pii)
        self.masked_rows += bool(pii)

    def stages(self, origin: str | None = None) -> list[dict[str, Any]]:
        """Per stage `in`, `out` and `reasons`, of one source or of all.

        Into `extract` come documents (or segments of long ones), out of it come pieces.
        """
        documents = self.documents.total() if origin is None else self.documents[origin]
        pieces = self.rows.total() if origin is None else self.rows[origin]
        result: list[dict[str, Any]] = []
        count = documents
        for stage in STAGES:
            reasons = self._reasons(stage, origin)
            before, count = count, count - reasons.total()
            if stage == "extract":
                count = pieces - reasons.total() - sum(result[0]["reasons"].values())
            ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
            result.append({"stage": stage, "in": before, "out": count, "reasons": ordered})
        return result

    def _reasons(self, stage: str, origin: str | None) -> Counter[str]:
        counts: Counter[str] = Counter()
        for (source, at, reason), number in self.fallen.items():
            if at == stage and origin in (None, source):
                counts[reason] += number
        return counts
