"""The card of a prepared data set: what it is, from where, under which licence, and its digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.config import StrictModel
from common.files import sha256_file
from training.data.config import DataConfig, DataError
from training.data.records import SPLITS
from training.data.sources import Source


class Card(StrictModel):
    """`card.json`. `digest`: SHA-256 over the SHA-256 (hex) of train, dev and test.jsonl, in this order."""

    name: str
    source: str
    licence: str
    digest: str
    rows: dict[str, int]
    seed: int
    fingerprint: str
    """Hash of settings, source and code: equal when preparing again would give the same."""


def data_digest(folder: Path) -> str:
    """The digest of a prepared data set, `sha256:<hex>`."""
    hashes = [sha256_file(folder / f"{split}.jsonl") for split in SPLITS]
    return "sha256:" + hashlib.sha256("".join(hashes).encode()).hexdigest()


def load_card(folder: Path) -> Card:
    """Read `card.json`. Raises DataError where the folder is no prepared data set."""
    path = folder / "card.json"
    try:
        return Card.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise DataError(
            f"{folder}: no prepared data set (no card.json); run `python -m training data` first"
        ) from exc
    except ValidationError as exc:
        raise DataError(f"{path}: not a data card of this version; prepare the data again") from exc


def fingerprint(config: DataConfig, source_digest: str) -> str:
    """Hash of all that the result follows from: settings, the source's content, the code of this folder."""
    settings = config.model_dump(mode="json", exclude={"output"})
    code = {
        str(file.relative_to(Path(__file__).parent)): sha256_file(file)
        for file in sorted(Path(__file__).parent.rglob("*.py"))
    }
    content = json.dumps([settings, source_digest, code], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def is_current(folder: Path, mark: str) -> bool:
    """Whether `folder` holds the result of the job with fingerprint `mark`, its split files unchanged."""
    try:
        card = load_card(folder)
        return (
            card.fingerprint == mark
            and card.digest == data_digest(folder)
            and (folder / "stats.json").is_file()
        )
    except (DataError, OSError):
        return False


def make_card(
    folder: Path, config: DataConfig, source: Source, splits: dict[str, dict[str, Any]], mark: str
) -> Card:
    """The card of the split files in `folder`."""
    return Card(
        name=config.name,
        source=source.name,
        licence=source.licence,
        digest=data_digest(folder),
        rows={name: split["rows"] for name, split in splits.items()},
        seed=config.seed,
        fingerprint=mark,
    )


def write_card(folder: Path, card: Card, stats: dict[str, Any]) -> None:
    """Write stats.json, DATA_CARD.md and card.json."""
    (folder / "stats.json").write_text(
        json.dumps(stats, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "DATA_CARD.md").write_text(_render(card, stats), encoding="utf-8")
    (folder / "card.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _render(card: Card, stats: dict[str, Any]) -> str:
    """DATA_CARD.md."""
    stages, splits = stats["stages"], stats["splits"]
    lines = [
        f"# Data card: {card.name}", "",
        "| | |", "| --- | --- |",
        f"| source | {card.source} |", f"| licence | {card.licence} |", f"| digest | `{card.digest}` |",
        f"| seed | {card.seed} |", "",
        "## Rows", "",
        "| stage | rows |", "| --- | ---: |",
        f"| read | {stages['rows_read']:,} |",
        *(f"| to quarantine: {reason} | −{count:,} |" for reason, count in stages["quarantined"].items()),
        f"| share an input with a held-out split | −{stages['leaked']:,} |",
        f"| exact duplicates | −{stages['exact_duplicates']:,} |",
        f"| near duplicates | −{stages['near_duplicates']:,} |",
        f"| kept | {stages['rows_kept']:,} |", "",
        "| split | rows | distinct inputs | references per input | words (p50, p95) | vocabulary |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(_split_line(name, split) for name, split in splits.items()), "",
        "No two splits share an input: attribute lists are compared as sets, the rest by letters and digits.",
        "Held-out splits that the source brings are kept as they are, duplicates included.", "",
    ]  # fmt: skip
    attributes = splits["train"]["attributes"]
    if attributes:
        lines += ["| attribute | share of training rows |", "| --- | ---: |"]
        rows = splits["train"]["tasks"].get("data-to-text", 1)
        lines += [f"| {name} | {count / rows:.1%} |" for name, count in attributes.items()] + [""]
    return "\n".join(lines)


def _split_line(name: str, split: dict[str, Any]) -> str:
    references, words = split["references_per_input"], split["answer_words"]
    length = f"{words['p50']:.0f}, {words['p95']:.0f}" if words["n"] else "no answers"
    mean = references.get("mean", 0)
    return (
        f"| {name} | {split['rows']:,} | {split['distinct_inputs']:,} | {mean} | {length} "
        f"| {split['vocabulary_words']:,} |"
    )
