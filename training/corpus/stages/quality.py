"""Quality filters by rules: Gopher (Rae et al., 2021, table A1) and C4 (Raffel et al., 2020, section 2.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from training.corpus.config import FILTERS_BY_KIND, PROSE_FILTERS, CorpusConfig, FilterName, QualityConfig
from training.corpus.rows import Row, fall
from training.corpus.stages.repetition import repeated_lines, repeated_ngram_chars, top_ngram_chars

_SYMBOLS = re.compile(r"#|…|\.\.\.")
_BULLET = re.compile(r"^\s*(?:[•‣◦▪●*·-]|\d+[.)])\s")
_EDGES = "\"'“”‘’.,;:!?()[]{}…—–-_*"


@dataclass
class Text:
    """A row's text with what several filters look at."""

    text: str
    words: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.words = self.text.split()

    @cached_property
    def lines(self) -> list[str]:
        """Lines that hold something."""
        return [line for line in self.text.split("\n") if line.strip()]

    @cached_property
    def bare(self) -> list[str]:
        """Lower-case words without the punctuation around them."""
        return [bare for word in self.words if (bare := word.strip(_EDGES).lower())]


Filter = Callable[[Text, QualityConfig], str | None]
"""What is wrong with the text, as a figure, or None."""


class Quality:
    """Drops a row at the first filter that it does not pass."""

    def __init__(self, config: CorpusConfig) -> None:
        self._settings = config.quality
        self._by_origin = {source.name: source.filters for source in config.sources}

    def __call__(self, row: Row) -> Iterator[Row]:
        """The row; the name of the filter is the reason."""
        text = Text(row["text"])
        for name in self._filters(row):
            problem = FILTERS[name](text, self._settings)
            if problem is not None:
                yield fall(row, "quality", name, problem)
                return
        yield row

    def _filters(self, row: Row) -> list[FilterName] | tuple[FilterName, ...]:
        chosen = self._by_origin.get(row["origin"])
        if chosen is None:
            chosen = self._settings.filters
        return FILTERS_BY_KIND.get(row["kind"], PROSE_FILTERS) if chosen is None else chosen


def _words(text: Text, settings: QualityConfig) -> str | None:
    count = len(text.words)
    return None if settings.min_words <= count <= settings.max_words else f"{count} words"


def _word_length(text: Text, settings: QualityConfig) -> str | None:
    if not text.bare:
        return "no words"
    mean = sum(map(len, text.bare)) / len(text.bare)
    return None if settings.min_mean_word <= mean <= settings.max_mean_word else f"mean {mean:.1f} letters"


def _symbols(text: Text, settings: QualityConfig) -> str | None:
    share = len(_SYMBOLS.findall(text.text)) / max(1, len(text.words))
    return None if share <= settings.max_symbols_per_word else f"{share:.2f} a word"


def _bullets(text: Text, settings: QualityConfig) -> str | None:
    share = sum(_BULLET.match(line) is not None for line in text.lines) / max(1, len(text.lines))
    return None if share <= settings.max_bullet_lines else f"{share:.0%} of lines"


def _ellipses(text: Text, settings: QualityConfig) -> str | None:
    share = sum(line.rstrip().endswith(("…", "...")) for line in text.lines) / max(1, len(text.lines))
    return None if share <= settings.max_ellipsis_lines else f"{share:.0%} of lines"


def _letters(text: Text, settings: QualityConfig) -> str | None:
    share = sum(any(map(str.isalpha, word)) for word in text.words) / max(1, len(text.words))
    return None if share >= settings.min_words_with_letter else f"only {share:.0%} of words have a letter"


def _stop_words(text: Text, settings: QualityConfig) -> str | None:
    count = len(set(settings.stop_words).intersection(text.bare))
    return None if count >= settings.min_stop_words else f"{count} of {len(settings.stop_words)}"


def _braces(text: Text, settings: QualityConfig) -> str | None:
    return "a { in the text" if "{" in text.text else None


def _placeholder(text: Text, settings: QualityConfig) -> str | None:
    return "lorem ipsum" if "lorem ipsum" in text.text.lower() else None


def _repeated_lines(text: Text, settings: QualityConfig) -> str | None:
    lines, chars = repeated_lines(text.lines)
    if lines > settings.max_repeated_lines:
        return f"{lines:.0%} of lines"
    return None if chars <= settings.max_repeated_line_chars else f"{chars:.0%} of characters in such lines"


def _repeated_ngrams(text: Text, settings: QualityConfig) -> str | None:
    for size, limit in settings.max_top_ngram.items():
        share = top_ngram_chars(text.bare, size)
        if share > limit:
            return f"top {size}-gram: {share:.0%} of characters"
    for size, limit in settings.max_repeated_ngrams.items():
        share = repeated_ngram_chars(text.bare, size)
        if share > limit:
            return f"repeated {size}-grams: {share:.0%} of characters"
    return None


FILTERS: dict[FilterName, Filter] = {
    "words": _words, "word-length": _word_length, "symbols": _symbols, "bullets": _bullets,
    "ellipses": _ellipses, "letters": _letters, "stop-words": _stop_words, "braces": _braces,
    "placeholder": _placeholder, "repeated-lines": _repeated_lines, "repeated-ngrams": _repeated_ngrams,
}  # fmt: skip
