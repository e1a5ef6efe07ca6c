"""The data job: read, check, drop duplicates, split, write. `prepare` is what other rooms call."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from tqdm import tqdm

from common.files import FileError, atomic_folder, atomic_path
from training.data.card import Card, fingerprint, is_current, load_card, make_card, write_card
from training.data.config import DataConfig, DataError
from training.data.duplicates import EXACT, KEEP, NEAR, mark_duplicates
from training.data.memory import watch_memory
from training.data.records import TEXT
from training.data.sources import Source, open_source
from training.data.splits import DROPPED, TRAIN, Assignment, assign_splits
from training.data.table import batches, build_table, keys
from training.data.write import write_splits


@dataclass(frozen=True, slots=True)
class PreparedData:
    """A prepared data set: its folder, its card, its statistics, and whether this call had nothing to do."""

    path: Path
    card: Card
    stats: dict[str, Any]
    reused: bool


def prepare(config: DataConfig, *, force: bool = False, progress: bool = True) -> PreparedData:
    """Prepare `<output>/<name>/`; a second call with the same settings, source and code only reads the card.

    Raises DataError where the source cannot be used, has too many bad rows (they are then listed in
    `<output>/<name>.quarantine.jsonl`), or leaves nothing to train on; FileError where writing fails.
    """
    started = time.monotonic()
    folder = config.output / config.name
    source = open_source(config)
    mark = fingerprint(config, source.digest)
    if not force and is_current(folder, mark):
        return PreparedData(
            folder, load_card(folder), json.loads((folder / "stats.json").read_text()), reused=True
        )
    try:
        card, stats = _prepare(config, source, mark, started, progress)
    except OSError as exc:
        raise FileError(f"{folder}: could not be written: {exc.strerror or exc}") from exc
    return PreparedData(folder, card, stats, reused=False)


def _prepare(
    config: DataConfig, source: Source, mark: str, started: float, progress: bool
) -> tuple[Card, dict[str, Any]]:
    config.output.mkdir(parents=True, exist_ok=True)
    with (
        watch_memory() as memory,
        # Beside the result: the Arrow files are as large as the data, and /tmp is often in memory.
        tempfile.TemporaryDirectory(dir=config.output, prefix=f".{config.name}.", suffix=".work") as work,
        tqdm(desc="data", unit=" rows", disable=None if progress else True, leave=False) as bar,
    ):
        rejected = Path(work) / "quarantine.jsonl"
        table, stages = _read(config, source, Path(work), rejected, bar)
        assignment = _assign(config, table, stages, bar)
        with atomic_folder(config.output / config.name) as target:
            rejected.rename(target / "quarantine.jsonl")
            splits = write_splits(target, table, assignment.codes)
            card = make_card(target, config, source, splits, mark)
            stats = {
                "stages": stages,
                "splits": splits,
                "seconds": round(time.monotonic() - started, 2),
                "peak_private_memory_bytes": memory.private_bytes,
            }
            write_card(target, card, stats)
    (config.output / f"{config.name}.quarantine.jsonl").unlink(missing_ok=True)
    return card, stats


def _read(
    config: DataConfig, source: Source, work: Path, rejected: Path, bar: tqdm[Any]
) -> tuple[Dataset, dict[str, Any]]:
    """Rows into the table, bad rows into the quarantine file; stops where there are too many of those."""
    bar.set_description("read")
    with rejected.open("w", encoding="utf-8") as quarantine:
        table, bad = build_table(source, work, quarantine, bar.update)
    good, bad_total = 0 if table is None else len(table), bad.total()
    if not good + bad_total:
        raise DataError(
            f"{source.name}: the source is empty: no row to train on; name another one by source=…"
        )
    share = bad_total / (good + bad_total)
    if table is None or share > config.max_bad_share:
        kept = config.output / f"{config.name}.quarantine.jsonl"
        with atomic_path(kept) as temporary:
            temporary.write_bytes(rejected.read_bytes())
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in bad.most_common())
        raise DataError(
            f"{source.name}: {bad_total:,} of {good + bad_total:,} rows are bad ({share:.1%}; {reasons}); "
            f"see {kept}, mend the source or raise max_bad_share (now {config.max_bad_share:.1%})"
        )
    return table, {"rows_read": good + bad_total, "quarantined": dict(bad.most_common()), "rows_good": good}


def _assign(config: DataConfig, table: Dataset, stages: dict[str, Any], bar: tqdm[Any]) -> Assignment:
    """The split of each row, DROPPED for duplicates and leaks, which `stages` counts."""
    inputs, declared, groups = (keys(table, name) for name in ("input", "declared", "group"))
    assignment = assign_splits(groups, declared, config.splits, config.seed)
    codes = assignment.codes
    stages["leaked"] = int((codes == DROPPED).sum())
    # The references of a held-out split that the source brings are what published scores are computed on:
    # kept as they are.
    candidates = np.flatnonzero((codes != DROPPED) & ~np.isin(codes, list(assignment.official)))
    bar.reset(total=len(candidates))
    bar.set_description("duplicates")
    ordered = candidates[np.argsort(inputs[candidates], kind="stable")]
    marks = np.fromiter(
        mark_duplicates(_texts(table.select(ordered), bar), config.duplicates), np.int8, len(ordered)
    )
    codes[ordered[marks != KEEP]] = DROPPED
    stages["exact_duplicates"] = int((marks == EXACT).sum())
    stages["near_duplicates"] = int((marks == NEAR).sum())
    stages["rows_kept"] = int((codes != DROPPED).sum())
    if not (codes == TRAIN).any():
        raise DataError(
            "no row is left to train on; the source must bring rows beyond its dev and test splits"
        )
    return assignment


def _texts(table: Dataset, bar: tqdm[Any]) -> Iterator[tuple[int, str]]:
    for batch in batches(table, ["task", "input", "answer"]):
        for task, key, answer in batch:
            bar.update()
            # Plain texts are all compared with each other, so they form one group.
            yield (0 if task == TEXT else key), answer or ""
