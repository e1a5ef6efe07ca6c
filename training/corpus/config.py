"""The settings of a corpus job (`training/configs/corpus-*.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from common.config import StrictModel
from common.errors import TriviumError
from training.data.config import DuplicateConfig, Share, SplitConfig

ReaderName = Literal[
    "books", "wikitext", "mediawiki", "code", "feeds", "warc", "html", "mastodon", "reddit", "rows"
]
FilterName = Literal[
    "words", "word-length", "symbols", "bullets", "ellipses", "letters", "stop-words", "braces",
    "placeholder", "repeated-lines", "repeated-ngrams",
]  # fmt: skip
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

PROSE_FILTERS: tuple[FilterName, ...] = (
    "words", "word-length", "symbols", "bullets", "ellipses", "letters", "stop-words", "placeholder",
    "repeated-lines", "repeated-ngrams",
)  # fmt: skip
"""C4's `braces` rule is left out: it is for the web, where a brace means a script."""
FILTERS_BY_KIND: dict[str, tuple[FilterName, ...]] = {
    "code": ("repeated-lines",),
    "web": (*PROSE_FILTERS, "braces"),
}
"""Where neither the source nor `quality.filters` says otherwise; other kinds take PROSE_FILTERS."""


class CorpusError(TriviumError):
    """A source cannot be read, nothing is left of it, or the settings contradict it."""


class SourceConfig(StrictModel):
    """One source: where it is, how it is read, how much of the mix it makes."""

    name: Name
    reader: ReaderName
    path: Path
    weight: float | None = Field(default=None, ge=0)
    """Share of the training characters, relative to the other weights. Give it to all sources or to none."""
    licence: str | None = None
    """SPDX id or a sentence; found beside the data where it is not set."""
    lang: str = ""
    """Language that the source states itself (ISO 639-1): rows are not put to the language filter then."""
    base_url: str = ""
    """Address of a wiki, for the rows' `url`."""
    filters: list[FilterName] | None = None
    """Quality filters for this source in place of the common ones."""
    limit: int | None = Field(default=None, ge=1)
    """Read no more than this many documents or segments."""


class LanguageConfig(StrictModel):
    """Which languages stay (py3langid: Lui and Baldwin, 2012)."""

    keep: list[str] = ["en"]
    """ISO 639-1 codes; an empty list keeps every language and only notes it."""
    min_probability: Share = 0.5
    sample_chars: int = Field(default=1_000, ge=50)
    """Characters from the middle of a row that are looked at."""


class QualityConfig(StrictModel):
    """Rules of Gopher (Rae et al., 2021, appendix A.1) and C4 (Raffel et al., 2020), for rows of text."""

    filters: list[FilterName] | None = None
    """None: by the kind of the row."""
    min_words: int = Field(default=40, ge=0)
    """Gopher has 50 for whole pages; rows here are pieces of documents and the last one is short."""
    max_words: int = Field(default=100_000, ge=1)
    min_mean_word: float = 3
    max_mean_word: float = 10
    max_symbols_per_word: float = 0.1
    max_bullet_lines: Share = 0.9
    max_ellipsis_lines: Share = 0.3
    min_words_with_letter: Share = 0.8
    min_stop_words: int = Field(default=2, ge=0)
    stop_words: list[str] = ["the", "be", "to", "of", "and", "that", "have", "with"]
    max_repeated_lines: Share = 0.3
    max_repeated_line_chars: Share = 0.2
    max_top_ngram: dict[int, Share] = {2: 0.20, 3: 0.18, 4: 0.16}
    """Longest allowed share of characters in the most frequent n-gram of n words."""
    max_repeated_ngrams: dict[int, Share] = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    """Longest allowed share of characters in n-grams of n words that occur more than once."""


class PiiConfig(StrictModel):
    """Personal data that patterns can find; see `training/corpus/stages/pii.py`."""

    action: Literal["mask", "drop", "off"] = "mask"
    entities: list[str] = [
        "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "US_SSN", "URL",
    ]  # fmt: skip
    min_score: Share = 0.4
    min_scores: dict[str, Share] = {}
    """By type, where `min_score` does not fit."""


class DecontaminationConfig(StrictModel):
    """Rows that repeat an evaluation set fall (Brown et al., 2020, appendix C: 13-grams of words)."""

    against: list[Path] = []
    """Files (text, CSV, JSON, JSON Lines, also .gz) or folders of them."""
    ngram: int = Field(default=13, ge=3, le=50)
    max_overlap: Share = 0.0
    """Share of a row's n-grams that may also be in the evaluation sets."""


class MixConfig(StrictModel):
    """How large the weighted mix may grow."""

    max_repeats: float = Field(default=2.0, ge=1, le=100)
    """No row comes more often than this (rounded up): repeating small text more than about four times is
    known to pay little (Muennighoff et al., 2023)."""
    total_chars: int | None = Field(default=None, ge=1)
    """Characters of the training split; None: as many as the weights and `max_repeats` give."""


class CorpusConfig(StrictModel):
    """One corpus job: sources in, `<output>/<name>/` out."""

    name: Name
    sources: list[SourceConfig] = Field(min_length=1)
    output: Path = Path("data")
    seed: int = Field(default=1, ge=0)
    chunk_chars: int = Field(default=2_000, ge=200)
    """Documents are cut at paragraph ends into rows of about this length."""
    language: LanguageConfig = LanguageConfig()
    quality: QualityConfig = QualityConfig()
    pii: PiiConfig = PiiConfig()
    duplicates: DuplicateConfig = DuplicateConfig(threshold=0.8)
    decontaminate: DecontaminationConfig = DecontaminationConfig()
    mix: MixConfig = MixConfig()
    splits: SplitConfig = SplitConfig(dev=0.02, test=0)
    split_by: Literal["document", "row"] = "document"
    """`document`: all rows of a book, page or thread are in one split."""
    workers: int | None = Field(default=None, ge=0)
    """Ray workers; None: one for each core. 0 works in this process, without Ray."""
    batch_rows: int = Field(default=128, ge=1)
    quarantine_rows: int = Field(default=20, ge=0)
    """Rows kept in quarantine.jsonl for each stage, reason and source."""

    @model_validator(mode="after")
    def _sources_agree(self) -> Self:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources have the name {', '.join(twice)}")
        weights = [source.weight for source in self.sources if source.weight is not None]
        if weights and len(weights) < len(self.sources):
            raise ValueError("weight: give it to all sources or to none")
        if weights and sum(weights) <= 0:
            raise ValueError("the weights sum to 0: nothing would be in the mix")
        return self
