"""From the `source` setting to rows: the generator, a file or folder, or a Hugging Face data set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.files import sha256_file
from training.data.config import DataConfig, DataError
from training.data.generator import GENERATOR_LICENCE, generate
from training.data.records import Record, Rejected, Split, split_of
from training.data.sources.chats import read_json, read_jsonl
from training.data.sources.hub import open_hub
from training.data.sources.tables import read_table
from training.data.sources.texts import read_text

Reader = Callable[[Path, Split | None, DataConfig], Iterator[Record | Rejected]]

READERS: dict[str, Reader] = {
    ".csv": read_table, ".csv.gz": read_table,
    ".jsonl": read_jsonl, ".jsonl.gz": read_jsonl, ".ndjson": read_jsonl, ".json": read_json,
    ".txt": read_text, ".txt.gz": read_text, ".text": read_text, ".md": read_text,
}  # fmt: skip

# What lies beside data without being data.
_NOT_DATA = re.compile(r"^(readme|licen[cs]e|copying|source|index|notice|changelog)\b|^\.", re.IGNORECASE)
_LICENCE_LINE = re.compile(r"^\s*licen[cs]e\s*:\s*(.+?)\s*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source: its rows in a fixed order, its name, licence, and a digest of what it reads."""

    name: str
    licence: str
    digest: str
    rows: Callable[[], Iterator[Record | Rejected]]


def open_source(config: DataConfig) -> Source:
    """Find the source that `config` names. Raises DataError where it is not there or of no known kind."""
    if config.source == "generator":
        licence = config.licence or GENERATOR_LICENCE
        return Source("generator", licence, f"seed {config.seed}", lambda: generate(config))
    if config.source.startswith("hf:"):
        rows, licence, digest = open_hub(config)
        return Source(config.source, config.licence or licence, digest, rows)
    return _open_path(config)


def _open_path(config: DataConfig) -> Source:
    path = Path(config.source).expanduser()
    if not path.exists():
        raise DataError(
            f"source {config.source!r}: no such file or folder; write generator, a path, or hf:<data set id>"
        )
    files = _data_files(path)
    digest = " ".join(f"{file.name}:{sha256_file(file)}" for file in files)
    folder = path if path.is_dir() else path.parent

    def rows() -> Iterator[Record | Rejected]:
        for file in files:
            yield from READERS[_kind(file)](file, split_of(file.name), config)

    return Source(_portable_name(path), config.licence or find_licence(folder), digest, rows)


def _data_files(path: Path) -> list[Path]:
    if path.is_file():
        if _kind(path) not in READERS:
            raise DataError(f"{path}: unknown format; known: {', '.join(READERS)}")
        return [path]
    files = sorted(
        f for f in path.iterdir() if f.is_file() and not _NOT_DATA.match(f.name) and _kind(f) in READERS
    )
    if not files:
        raise DataError(f"{path}: no data file in it; known: {', '.join(READERS)}")
    return files


def _kind(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    return "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])


def _portable_name(path: Path) -> str:
    """The last two parts of the path: enough to recognise it, nothing of the machine."""
    return "/".join(path.resolve().parts[-2:])


def find_licence(folder: Path) -> str:
    """The licence that a folder states: the `licence:` line of SOURCE.txt, else the title of LICENSE."""
    source = folder / "SOURCE.txt"
    if source.is_file():
        found = _LICENCE_LINE.search(source.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found[1]
    for file in sorted(folder.glob("LICEN[CS]E*")):
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        title = next((line.strip(" #*\t") for line in text.splitlines() if line.strip()), "")
        if title:
            return title
    return "unknown: set `licence`"
