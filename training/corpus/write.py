"""Splits and their files: `train.jsonl` mixed and shuffled, `dev.jsonl` and `test.jsonl` as they are."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_progress_bars

from training.corpus.config import CorpusConfig, CorpusError
from training.corpus.deduplicate import COLUMNS, Kept
from training.corpus.diversity import Diversity
from training.corpus.mixing import Mix, mix, order
from training.data.records import SPLITS, TEXT
from training.data.splits import TRAIN, UNDECLARED, assign_splits
from training.data.table import batches

OPTIONAL = ("url", "licence", "lang", "kind")
"""Beyond the text row of docs/architecture.md; "" where unknown, so that every line has the same columns."""


def split_codes(kept: Kept, config: CorpusConfig) -> np.ndarray:
    """(rows,) int8: the split of each row, drawn within each source by whole documents (or rows).

    Raises CorpusError where nothing is left to train on.
    """
    codes = np.full(len(kept.keys), TRAIN, np.int8)
    groups = kept.documents if config.split_by == "document" else kept.keys
    undeclared = np.full(len(codes), UNDECLARED, np.int8)
    for origin in range(len(config.sources)):
        rows = np.flatnonzero(kept.origins == origin)
        if len(rows):
            codes[rows] = assign_splits(groups[rows], undeclared[rows], config.splits, config.seed).codes
    if not (codes == TRAIN).any():
        raise CorpusError(
            "no row is left to train on: every one fell or was held out; the counts by reason are in "
            f"{config.output / config.name}.quarantine.jsonl"
        )
    return codes


def write_splits(target: Path, kept: Kept, config: CorpusConfig) -> dict[str, Any]:
    """Write the split files into `target`; returns the `splits`, `mix` and `diversity` of the report."""
    disable_progress_bars()
    codes = split_codes(kept, config)
    table = Dataset.from_file(str(kept.path))
    training = np.flatnonzero(codes == TRAIN)
    origins, keys, chars = kept.origins[training], kept.keys[training], kept.chars[training]
    chosen = mix(origins, keys, chars, config.sources, config.mix, config.seed)
    splits: dict[str, Any] = {}
    diversity: dict[str, Diversity] = defaultdict(Diversity)
    for code, name in enumerate(SPLITS):
        rows = np.flatnonzero(codes == code)
        times = np.ones(len(rows), np.int64)
        if code == TRAIN:
            picked, times = order(keys, chosen.repeats, config.seed)
            rows = training[picked]
        splits[name] = _write(target / f"{name}.jsonl", table.select(rows), kept.keys[rows], times, name,
                              diversity if code == TRAIN else defaultdict(Diversity))  # fmt: skip
        splits[name]["documents"] = len(np.unique(kept.documents[rows]))
    shares = _shares(kept, training, chosen, config)
    return {
        "splits": splits, "mix": shares, "mix_note": chosen.note,
        "diversity": {name: diversity[name].summary() for name in sorted(diversity)},
    }  # fmt: skip


def _write(
    path: Path,
    rows: Dataset,
    keys: np.ndarray,
    times: np.ndarray,
    split: str,
    diversity: dict[str, Diversity],
) -> dict[str, Any]:
    """One split file. `times`: which repetition of its text a row is; only the first counts for diversity."""
    numbers = zip(keys.tolist(), times.tolist(), strict=True)
    count, chars = 0, 0
    sources: dict[str, int] = defaultdict(int)
    with path.open("w", encoding="utf-8") as stream:
        for batch in batches(rows, list(COLUMNS)):
            for values in batch:
                row = dict(zip(COLUMNS, values, strict=True))
                key, time = next(numbers)
                line = {
                    "id": f"{key & (2**64 - 1):016x}-{time}", "task": TEXT, "split": split,
                    "text": row["text"], "source": f"{row['origin']}/{row['source']}",
                    **{name: row[name] for name in OPTIONAL},
                }  # fmt: skip
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
                count, chars = count + 1, chars + len(row["text"])
                sources[row["origin"]] += len(row["text"])
                if time == 1:
                    diversity[row["origin"]].add(row["text"])
    return {"rows": count, "chars": chars, "bytes": path.stat().st_size, "chars_by_source": dict(sources)}


def _shares(kept: Kept, training: np.ndarray, chosen: Mix, config: CorpusConfig) -> list[dict[str, Any]]:
    origins, chars = kept.origins[training], kept.chars[training]
    result = []
    for number, source in enumerate(config.sources):
        inside = origins == number
        available = int(chars[inside].sum())
        written = int((chars[inside] * chosen.repeats[inside]).sum())
        result.append(
            {
                "source": source.name, "weight": source.weight, "chars_available": available,
                "chars_written": written,
                "share": round(written / max(1, int((chars * chosen.repeats).sum())), 4),
                "repeats": round(written / available, 3) if available else 0.0,
            }
        )  # fmt: skip
    return result
