"""The settings of a data job (`training/configs/data-*.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from common.config import StrictModel
from common.errors import TriviumError

Share = Annotated[float, Field(ge=0, le=1)]


class DataError(TriviumError):
    """The source cannot be prepared: not there, unknown format, too many bad rows, nothing left."""


class SplitConfig(StrictModel):
    """Shares of the distinct inputs to hold out, for the splits that the source does not bring itself."""

    dev: Share = 0.05
    test: Share = 0.05

    @model_validator(mode="after")
    def _leave_training_rows(self) -> Self:
        if self.dev + self.test >= 1:
            raise ValueError("dev + test must stay below 1, or nothing is left to train on")
        return self


class DuplicateConfig(StrictModel):
    """What counts as a duplicate; see `training/data/duplicates.py` for the reasons behind the defaults."""

    exact: bool = True
    near: bool = True
    threshold: float = Field(default=0.9, gt=0.5, lt=1)
    """Jaccard similarity of character shingles from which two texts are near duplicates."""
    shingle_chars: int = Field(default=5, ge=2, le=20)
    permutations: int = Field(default=128, ge=32, le=1024, multiple_of=16)
    """Length of a MinHash signature; the standard error of an estimate s is sqrt(s(1-s)/permutations)."""


class GeneratorConfig(StrictModel):
    """The built-in corpus."""

    pairs: int = Field(default=30_000, ge=200, le=5_000_000)
    min_references: int = Field(default=3, ge=1)
    max_references: int = Field(default=8, ge=1, le=20)
    instructed: Share = 0.35
    """Share of data-to-text inputs that come as an instruction with a list, not as the bare list."""
    other_tasks: Share = 0.15
    """Share of pairs that are questions about a text or list, attribute extraction, or rewriting."""
    unseen_combinations: bool = False
    """Hold out whole combinations of attributes: dev and test then ask for combinations never trained on."""

    @model_validator(mode="after")
    def _references_in_order(self) -> Self:
        if self.min_references > self.max_references:
            raise ValueError("min_references is above max_references")
        return self


class HubConfig(StrictModel):
    """Arguments of `datasets.load_dataset` for `source: hf:<id>`."""

    name: str | None = None
    """Configuration of the data set."""
    revision: str | None = None
    """Commit, branch or tag; a commit makes the job reproducible."""
    input_column: str | None = None
    target_column: str | None = None


class DataConfig(StrictModel):
    """One data job: source in, `<output>/<name>/` out."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    source: str = "generator"
    """`generator`, the path of a file or folder, or `hf:<data set id>`."""
    output: Path = Path("data")
    licence: str | None = None
    """SPDX id or a sentence; found in the folder's SOURCE.txt or LICENSE where it is not set."""
    seed: int = 1
    max_row_chars: int = Field(default=8_000, ge=10)
    """Longer rows go to quarantine."""
    max_bad_share: Share = 0.02
    """Above this share of bad rows the job stops."""
    text_chunk_chars: int = Field(default=2_000, ge=100)
    """Plain text is cut at paragraph ends into documents of about this length."""
    template: str = "{input}"
    """User message of an E2E row; `{input}` is the attribute list."""
    splits: SplitConfig = SplitConfig()
    duplicates: DuplicateConfig = DuplicateConfig()
    generator: GeneratorConfig = GeneratorConfig()
    hub: HubConfig = HubConfig()

    @model_validator(mode="after")
    def _template_has_a_place(self) -> Self:
        if self.template.count("{input}") != 1:
            raise ValueError("template must contain {input} exactly once")
        if self.text_chunk_chars > self.max_row_chars:
            raise ValueError("text_chunk_chars is above max_row_chars: every chunk would be oversized")
        return self
