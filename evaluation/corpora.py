"""Reading what is scored: references, hypotheses and inputs, in the formats people have them in.

References: E2E CSV (`mr,ref`), JSONL (`input` with `references` or `reference`), or the challenge's text
format (one reference per line, groups separated by blank lines). Hypotheses: one output per line, CSV/TSV
with an output column, or JSONL. `.gz` of any of them.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.errors import EvaluationError

INPUT_COLUMNS = ("mr", "input", "src", "source")
_OUTPUT_COLUMNS = ("output", "hypothesis", "prediction", "ref", "text")
_REFERENCE_COLUMNS = ("ref", "reference", "human_reference", "target")
_ATTRIBUTE_LIST = re.compile(r"\s*[a-zA-Z_ ]+\[[^\]]*\]")
_MOJIBAKE = {"Â£": "£", "Ã©": "é", "ã©": "é", "Ł": "£"}
"""Encoding damage in some E2E outputs, which the challenge's own script repairs before it scores."""


@dataclass(frozen=True)
class References:
    """Distinct inputs in order of first appearance (None where the format has none) and their references."""

    inputs: list[str] | None
    groups: list[list[str]]

    @property
    def count(self) -> int:
        """All references together."""
        return sum(len(group) for group in self.groups)


def load_references(path: Path) -> References:
    """Read references; the format follows from the file's name (.csv, .tsv, .jsonl, else text).

    Raises EvaluationError naming the file and line of the first thing wrong.
    """
    kind = kind_of(path)
    if kind == "text":
        return _text_groups(path)
    pairs = _json_references(path) if kind == "jsonl" else _table_references(path, kind)
    groups: dict[str, list[str]] = {}
    for source, reference in pairs:
        group = groups.setdefault(source, [])
        if reference.strip():
            group.append(reference.strip())
    if not groups:
        raise EvaluationError(f"{path}: no references in it")
    for source, group in groups.items():
        if not group:
            raise EvaluationError(f"{path}: input {source!r} has only empty references")
    return References(list(groups), list(groups.values()))


def load_hypotheses(path: Path, references: References) -> list[str]:
    """One output per input, in the order of the references.

    Trailing blank lines and a header line (`output`) are dropped where there are too many lines; a blank line
    elsewhere is an empty output. Tables that name their inputs are matched by input. Raises EvaluationError,
    naming both counts where they differ.
    """
    expected = len(references.groups)
    kind = kind_of(path)
    if kind == "text":
        outputs = [line.strip() for line in read_lines(path)]
        if len(outputs) > expected and outputs[0].strip('"').lower() in _OUTPUT_COLUMNS:
            del outputs[0]
        while len(outputs) > expected and not outputs[-1]:
            outputs.pop()
        sources: list[str | None] = [None] * len(outputs)
    else:
        rows = _json_hypotheses(path) if kind == "jsonl" else _table_hypotheses(path, kind)
        sources, outputs = [source for source, _ in rows], [output.strip() for _, output in rows]
    if len(outputs) != expected:
        raise EvaluationError(
            f"{path}: {len(outputs)} outputs for {expected} inputs in the references; give one output per "
            "distinct input, in order of first appearance, an empty line for an empty output"
        )  # fmt: skip
    return _in_order(path, sources, outputs, references)


def repair_encoding(texts: Sequence[str]) -> tuple[list[str], int]:
    """Texts with known encoding damage repaired, and how many needed it."""
    repaired = []
    for text in texts:
        for damaged, right in _MOJIBAKE.items():
            text = text.replace(damaged, right)
        repaired.append(text)
    return repaired, sum(old != new for old, new in zip(texts, repaired, strict=True))


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file (BOM and CRLF allowed). Raises EvaluationError."""
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1] else lines


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) for every non-blank line. Raises EvaluationError naming the line."""
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as exc:
            raise EvaluationError(f"{path}:{number}: not JSON: {exc.msg} at column {exc.colno}") from exc
        if not isinstance(row, dict):
            raise EvaluationError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
        yield number, row


def read_text(path: Path) -> str:
    """A whole UTF-8 file, without BOM, unpacked where it ends in .gz. Raises EvaluationError."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except FileNotFoundError as exc:
        raise EvaluationError(f"{path}: no such file") from exc
    except UnicodeDecodeError as exc:
        raise EvaluationError(f"{path}: not UTF-8 (byte {exc.start}); convert it first") from exc
    except (OSError, EOFError) as exc:
        raise EvaluationError(f"{path}: cannot be read: {exc}") from exc


def kind_of(path: Path) -> str:
    """csv, tsv, jsonl or text, by the ending. Raises EvaluationError for .json."""
    name = path.name.lower().removesuffix(".gz")
    for kind, endings in {"csv": (".csv",), "tsv": (".tsv",), "jsonl": (".jsonl", ".ndjson")}.items():
        if name.endswith(endings):
            return kind
    if name.endswith(".json"):
        raise EvaluationError(f"{path}: give JSON Lines (.jsonl, one object per line), CSV, TSV or text")
    return "text"


def _text_groups(path: Path) -> References:
    groups: list[list[str]] = [[]]
    for line in read_lines(path):
        if line.strip():
            groups[-1].append(line.strip())
        elif groups[-1]:
            groups.append([])
    groups = [group for group in groups if group]
    if not groups:
        raise EvaluationError(f"{path}: no references in it")
    # No blank line at all: the challenge's script, too, reads such a file as one reference per input.
    return References(None, [[text] for text in groups[0]] if len(groups) == 1 else groups)


def read_table(path: Path, kind: str) -> tuple[list[str], list[list[str]]]:
    """Header (lower case) and rows of a CSV or TSV file. Raises EvaluationError for odd rows."""
    text = read_text(path)
    # Some challenge outputs are called .csv and hold tabs.
    tabs = kind == "tsv" or "\t" in text.split("\n", 1)[0]
    try:
        rows = [
            row
            for row in csv.reader(io.StringIO(text, newline=""), delimiter="\t" if tabs else ",")
            if any(row)
        ]
    except csv.Error as exc:
        raise EvaluationError(f"{path}: not valid CSV: {exc}") from exc
    if not rows:
        raise EvaluationError(f"{path}: empty")
    if len(rows[0]) == 2 and _ATTRIBUTE_LIST.match(rows[0][0]):
        rows.insert(0, ["mr", "ref"])  # The challenge also had tables without a header.
    header = [name.strip().lower() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise EvaluationError(
                f"{path}: row {number} has {len(row)} columns, the header {len(header)} ({', '.join(header)})"
            )
    return header, rows[1:]


def column_of(path: Path, header: Sequence[str], names: Sequence[str]) -> int:
    """The place of the first of `names` in the header. Raises EvaluationError naming those there are."""
    for name in names:
        if name in header:
            return header.index(name)
    raise EvaluationError(f"{path}: no column called {' or '.join(names)}; found {', '.join(header)}")


def _table_references(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    header, rows = read_table(path, kind)
    source, reference = column_of(path, header, INPUT_COLUMNS), column_of(path, header, _REFERENCE_COLUMNS)
    for row in rows:
        yield row[source].strip(), row[reference]


def _json_references(path: Path) -> Iterator[tuple[str, str]]:
    for number, row in read_jsonl(path):
        source = row.get("input")
        texts = row.get("references", [row["reference"]] if "reference" in row else None)
        if (
            not isinstance(source, str)
            or not isinstance(texts, list)
            or not all(isinstance(t, str) for t in texts)
        ):
            raise EvaluationError(
                f'{path}:{number}: expected {{"input": text, "references": [text, …]}} or "reference": text'
            )
        for text in texts or [""]:
            yield source.strip(), text


def _table_hypotheses(path: Path, kind: str) -> list[tuple[str | None, str]]:
    header, rows = read_table(path, kind)
    source = next((header.index(name) for name in INPUT_COLUMNS if name in header), None)
    if source is not None and len(header) == 2:
        output = 1 - source  # Whatever the other column is called.
    else:
        output = column_of(path, header, _OUTPUT_COLUMNS)
    return [(None if source is None else row[source].strip(), row[output]) for row in rows]


def _json_hypotheses(path: Path) -> list[tuple[str | None, str]]:
    found: list[tuple[str | None, str]] = []
    for number, row in read_jsonl(path):
        output = next((row[name] for name in _OUTPUT_COLUMNS if name in row), None)
        source = row.get("input")
        if not isinstance(output, str) or not isinstance(source, str | None):
            raise EvaluationError(
                f'{path}:{number}: expected {{"output": text}} with an optional "input": text'
            )
        found.append((None if source is None else source.strip(), output))
    return found


def _in_order(
    path: Path, sources: Sequence[str | None], outputs: list[str], references: References
) -> list[str]:
    """Outputs in the order of the references, by their input where both sides name it."""
    if references.inputs is None or any(source is None for source in sources):
        return outputs
    by_input = dict(zip(sources, outputs, strict=True))
    unknown = next((source for source in by_input if source not in set(references.inputs)), None)
    if unknown is not None:
        raise EvaluationError(f"{path}: input {unknown!r} is not in the references")
    if len(by_input) != len(outputs):
        raise EvaluationError(f"{path}: {len(outputs) - len(by_input)} inputs appear more than once")
    return [by_input[source] for source in references.inputs]
