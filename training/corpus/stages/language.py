"""The language filter: py3langid, which ships its model (97 languages; Lui and Baldwin, 2012)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from training.corpus.config import CorpusConfig
from training.corpus.rows import Row, fall

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier


class Language:
    """Notes the language of a row, and drops it where it is none of those wanted.

    Code, and rows whose source states a language that is wanted, are not put to the model.
    """

    def __init__(self, config: CorpusConfig) -> None:
        self._settings = config.language

    @cached_property
    def _identifier(self) -> LanguageIdentifier:
        """Loaded for the first row that needs it: 70 MB a worker, and many sources state their language."""
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def __call__(self, row: Row) -> Iterator[Row]:
        """The row, with `lang` set."""
        keep = self._settings.keep
        if row["kind"] == "code" or row["lang"] in keep:
            yield row
            return
        language, probability = self.identify(row["text"])
        row["lang"] = language
        if keep and language not in keep:
            yield fall(row, "language", "other language", f"{language} {probability:.2f}")
        elif keep and probability < self._settings.min_probability:
            yield fall(row, "language", "language unsure", f"{language} {probability:.2f}")
        else:
            yield row

    def identify(self, text: str) -> tuple[str, float]:
        """(ISO 639-1 code, probability) from the middle of the text, where headings are rare."""
        size = self._settings.sample_chars
        start = max(0, (len(text) - size) // 2)
        language, probability = self._identifier.classify(text[start : start + size])
        return str(language), float(probability)
