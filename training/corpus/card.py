"""card.json and DATA_CARD.md of a prepared corpus, and the mark by which a finished one is recognised."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from common.files import sha256_file
from training.corpus.config import CorpusConfig, CorpusError, SourceConfig
from training.corpus.readers.files import walk
from training.data.card import Card, data_digest, load_card
from training.data.config import DataError

_CODE = (Path(__file__).parent, Path(__file__).parents[1] / "data")
_NO_MATTER = {"output", "workers", "batch_rows", "quarantine_rows"}
"""Settings on which the rows do not depend."""


def fingerprint(config: CorpusConfig) -> str:
    """Hash of all that the result follows from: settings, what is read, code. Raises CorpusError."""
    settings = config.model_dump(mode="json", exclude=_NO_MATTER)
    read = [_digest(source) for source in config.sources]
    against = [_files_digest(path) for path in config.decontaminate.against if path.exists()]
    code = [sha256_file(file) for folder in _CODE for file in sorted(folder.rglob("*.py"))]
    return hashlib.sha256(json.dumps([settings, read, against, code], sort_keys=True).encode()).hexdigest()


def is_current(folder: Path, mark: str) -> bool:
    """Whether `folder` holds the whole result of the job with fingerprint `mark`."""
    try:
        card = load_card(folder)
        whole = (folder / "report.json").is_file() and (folder / "report.html").is_file()
        return card.fingerprint == mark and whole and card.digest == data_digest(folder)
    except (DataError, OSError):
        return False


def make_card(folder: Path, config: CorpusConfig, report: dict[str, Any], mark: str) -> Card:
    """The card of the split files in `folder`."""
    licences = "; ".join(f"{source['name']}: {source['licence']}" for source in report["sources"])
    return Card(
        name=config.name,
        source=", ".join(f"{source.name} ({source.reader})" for source in config.sources),
        licence=licences,
        digest=data_digest(folder),
        rows={name: split["rows"] for name, split in report["splits"].items()},
        seed=config.seed,
        fingerprint=mark,
    )


def write_card(folder: Path, card: Card, report: dict[str, Any]) -> None:
    """Write card.json and DATA_CARD.md."""
    (folder / "DATA_CARD.md").write_text(_render(card, report), encoding="utf-8")
    (folder / "card.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _render(card: Card, report: dict[str, Any]) -> str:
    mixed = {share["source"]: share for share in report["mix"]}
    lines = [
        f"# Data card: {card.name}", "",
        "Text for pretraining. `report.html` shows how it was made.", "",
        f"digest `{card.digest}`, seed {card.seed}", "",
        "| source | reader | licence | documents read | rows kept | share of training text | repeats |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {s['name']} | {s['reader']} | {s['licence']} | {s['documents']:,} | {s['rows_kept']:,} "
            f"| {mixed[s['name']]['share']:.1%} | {mixed[s['name']]['repeats']:g} |"
            for s in report["sources"]
        ), "",
        "| stage | in | out | dropped, by reason |", "| --- | ---: | ---: | --- |",
        *(
            f"| {s['stage']} | {s['in']:,} | {s['out']:,} "
            f"| {', '.join(f'{reason} {count:,}' for reason, count in s['reasons'].items())} |"
            for s in report["stages"]
        ), "",
        "Into `extract` come documents, or segments of long ones; out of it come rows.", "",
        "| split | rows | characters | documents |", "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {split['rows']:,} | {split['chars']:,} | {split['documents']:,} |"
            for name, split in report["splits"].items()
        ), "",
        "Personal data: " + _pii_words(report["pii"]), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _pii_words(pii: dict[str, Any]) -> str:
    if pii["action"] == "off":
        return "not looked for."
    found = ", ".join(f"{name} {count:,}" for name, count in pii["masked"].items()) or "none found"
    return (
        f"{found} (action: {pii['action']}). Only what has a form was looked for "
        f"({', '.join(pii['entities'])}); names of people, street addresses and dates of birth may be left."
    )


def _digest(source: SourceConfig) -> str:
    if not source.path.exists():
        raise CorpusError(f"source {source.name!r}: {source.path}: no such file or folder")
    return _files_digest(source.path)


def _files_digest(path: Path) -> str:
    files = [path] if path.is_file() else walk(path)
    return " ".join(f"{file.name}:{sha256_file(file)}" for file in files)
