"""Attribute lists with references as CSV, the form of the E2E NLG Challenge: columns `mr` and `ref`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from training.data.attributes import AttributeSyntaxError, canonical_input, parse_attributes
from training.data.config import DataConfig, DataError
from training.data.records import (
    DATA_TO_TEXT,
    BadRow,
    Place,
    Record,
    Rejected,
    Split,
    clean_line,
    require_text,
)
from training.data.sources.lines import CsvRecord, read_csv

INPUT_COLUMNS = ("mr", "meaning_representation")
REFERENCE_COLUMNS = ("ref", "human_reference")


def read_table(path: Path, split: Split | None, config: DataConfig) -> Iterator[Record | Rejected]:
    """Rows of an E2E CSV file. A file without a reference column is a list of inputs.

    Raises DataError where the header has no `mr` column.
    """
    records = read_csv(path, max_record_chars=16 * config.max_row_chars)
    header = next(records, None)
    columns = [clean_line(name).lower() for name in header.fields] if header else []
    input_at = next((columns.index(name) for name in INPUT_COLUMNS if name in columns), None)
    if input_at is None:
        found = ", ".join(columns) or "nothing"
        raise DataError(f"{path}: the first line must name a column `mr` (and `ref`); found: {found}")
    reference_at = next((columns.index(name) for name in REFERENCE_COLUMNS if name in columns), None)
    for row in records:
        place = Place(path.name, row.line)
        try:
            yield _check(row, len(columns), input_at, reference_at, split, place, config)
        except BadRow as bad:
            yield Rejected(place, bad.reason, bad.detail, row.raw)


def _check(
    row: CsvRecord, width: int, input_at: int, reference_at: int | None, split: Split | None, place: Place,
    config: DataConfig,
) -> Record:  # fmt: skip
    if row.problem is not None:
        raise BadRow("broken CSV", row.problem)
    if len(row.fields) != width:
        raise BadRow("wrong columns", f"{len(row.fields)} fields, the header has {width}")
    reference = None if reference_at is None else row.fields[reference_at]
    return attribute_record(row.fields[input_at], reference, split, place, config)


def attribute_record(
    attributes: object, reference: object, split: Split | None, place: Place, config: DataConfig
) -> Record:
    """A checked data-to-text row; `reference` None: the input alone. Raises BadRow."""
    source = clean_line(require_text(attributes, "mr"))
    answer = None if reference is None else clean_line(require_text(reference, "ref"))
    if len(source) + len(answer or "") > config.max_row_chars:
        raise BadRow("oversized", f"more than {config.max_row_chars} characters")
    try:
        parse_attributes(source)
    except AttributeSyntaxError as exc:
        raise BadRow(exc.reason, str(exc).partition(": ")[2]) from exc
    content = config.template.replace("{input}", source)
    prompt = ({"role": "user", "content": content},)
    return Record(DATA_TO_TEXT, prompt, answer, split, canonical_input(source), place)
