"""Personal data: presidio's pattern recognisers on a blank spaCy pipeline, so that no model is needed.

What patterns can find is what has a form: e-mail addresses, telephone, card, IBAN and social security
numbers, IP addresses, URLs. Names of people and places, street addresses, dates of birth, organisations,
titles and ages have none: they need a model of the language and stay in the text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.corpus.config import CorpusConfig, CorpusError, PiiConfig
from training.corpus.rows import Row, fall
from training.corpus.stages.recognizers import pattern_analyzer

# Every form that the recognisers know has one of these; most rows have none and cost nothing more.
_SIGN = re.compile(r"@|://|www\.|\w\.[A-Za-z]{2}|(?:\d\D{0,3}){7}|\d\.\d+\.\d|:[0-9A-Fa-f]{0,4}:")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters start to end (exclusive) that are of a type."""

    start: int
    end: int
    entity: str
    score: float


class Pii:
    """Masks spans as `<TYPE>`, or drops the rows that have any; counts them in `pii`."""

    def __init__(self, config: CorpusConfig) -> None:
        self._action = config.pii.action
        self._finder = PiiFinder(config.pii) if self._action != "off" else None

    def __call__(self, row: Row) -> Iterator[Row]:
        """The row, masked, or fallen."""
        spans = self._finder.find(row["text"]) if self._finder else []
        if spans:
            counts = Counter(span.entity for span in spans)
            row["pii"] = json.dumps(counts, sort_keys=True)
            if self._action == "drop":
                # The reason names the types and not what was found: quarantine is read by people.
                row["text"] = mask(row["text"], spans)
                yield fall(row, "pii", "personal data", ", ".join(sorted(counts)))
                return
            row["text"] = mask(row["text"], spans)
        yield row


class PiiFinder:
    """Finds spans of the configured types. Raises CorpusError where no recogniser knows a type."""

    def __init__(self, settings: PiiConfig) -> None:
        self._settings = settings
        self._analyzer = pattern_analyzer()
        known = set(self._analyzer.get_supported_entities("en"))
        unknown = sorted(set(settings.entities) - known)
        if unknown:
            raise CorpusError(
                f"pii.entities: no pattern finds {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )

    def find(self, text: str) -> list[Span]:
        """Spans in order, none overlapping another; where types compete the surer, then the longer wins."""
        if not _SIGN.search(text):
            return []
        found = self._analyzer.analyze(text, "en", entities=self._settings.entities)
        spans = [
            Span(result.start, result.end, result.entity_type, result.score)
            for result in found
            if result.score >= self._settings.min_scores.get(result.entity_type, self._settings.min_score)
        ]
        kept: list[Span] = []
        for span in sorted(spans, key=lambda s: (-s.score, s.start - s.end, s.start, s.entity)):
            if all(span.end <= other.start or span.start >= other.end for other in kept):
                kept.append(span)
        return sorted(kept, key=lambda s: s.start)


def mask(text: str, spans: Sequence[Span]) -> str:
    """`text` with each span replaced by its type: `<EMAIL_ADDRESS>`."""
    parts, position = [], 0
    for span in spans:
        parts += [text[position : span.start], f"<{span.entity}>"]
        position = span.end
    return "".join([*parts, text[position:]])
