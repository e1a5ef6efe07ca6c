"""The files of a prepared data set, written in one pass over each split."""

from __future__ import annotations

import json
from array import array
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from training.data.records import CHAT, DATA_TO_TEXT, SPLITS, TEXT
from training.data.splits import TRAIN
from training.data.stats import SplitStats
from training.data.table import batches, keys

_ROW = ["task", "prompt", "answer", "input", "source", "line"]


def write_splits(target: Path, table: Dataset, codes: np.ndarray) -> dict[str, dict[str, Any]]:
    """Write the split and reference files into `target`; returns the statistics of each split.

    codes: (rows of the table,) TRAIN, DEV, TEST or DROPPED.
    """
    splits: dict[str, dict[str, Any]] = {}
    for code, name in enumerate(SPLITS):
        inside = np.flatnonzero(codes == code)
        rows, inputs = table.select(inside), keys(table, "input")[inside]
        splits[name] = _write_rows(target / f"{name}.jsonl", rows, inputs, name)
        if code != TRAIN:
            # Where there are data-to-text rows, only these: they are what the generation metrics are about.
            only = DATA_TO_TEXT if DATA_TO_TEXT in splits[name]["tasks"] else None
            _write_references(target / f"references-{name}.jsonl", rows, inputs, only)
    return splits


def _write_rows(path: Path, rows: Dataset, inputs: np.ndarray, split: str) -> dict[str, Any]:
    """One split file; returns its statistics. The rows of an input are numbered in their ids."""
    stats = SplitStats()
    numbers = iter(_number_within(inputs).tolist())
    referenced = array("q")
    with path.open("w", encoding="utf-8") as stream:
        for batch in batches(rows, _ROW):
            for task, prompt_json, answer, key, source, line in batch:
                prompt = json.loads(prompt_json)
                stats.add(task, prompt[-1]["content"] if prompt else "", answer)
                if answer is not None and task in (DATA_TO_TEXT, CHAT):
                    referenced.append(key)
                row = {"id": f"{_input_id(key)}-{next(numbers)}", "task": task, "split": split}
                if task == TEXT:
                    row["text"] = answer
                else:
                    row["messages"] = prompt if answer is None else [*prompt, _answer(answer)]
                row["source"] = f"{source}:{line}"
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    counts = np.unique(np.asarray(referenced, dtype=np.int64), return_counts=True)[1]
    return stats.summary(len(np.unique(inputs)), counts.tolist())


def _write_references(path: Path, rows: Dataset, inputs: np.ndarray, only: str | None) -> None:
    """One line for each distinct input (of task `only`) in order of first appearance, with its references."""
    _, first, place = np.unique(inputs, return_index=True, return_inverse=True)
    together = rows.select(np.argsort(first[place], kind="stable"))
    columns = ["input", "task", "prompt", "answer"]
    stream_of_rows = (row for batch in batches(together, columns) for row in batch)
    with path.open("w", encoding="utf-8") as stream:
        for key, group in groupby(stream_of_rows, key=itemgetter(0)):
            members = [row for row in group if row[1] != TEXT and only in (None, row[1])]
            if not members:
                continue
            prompt = json.loads(members[0][2])
            references = [answer for _, _, _, answer in members if answer is not None]
            line = {"id": _input_id(key), "input": prompt[-1]["content"], "references": references}
            if len(prompt) > 1:
                line["messages"] = prompt
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def _number_within(keys: np.ndarray) -> np.ndarray:
    """For each element how many equal ones there are up to it: [7, 5, 7] gives [1, 1, 2]."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = (
        np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(keys) else np.array([], dtype=int)
    )
    lengths = np.diff(np.r_[starts, len(keys)])
    numbers = np.empty(len(keys), dtype=np.int64)
    numbers[order] = np.arange(len(keys)) - np.repeat(starts, lengths) + 1
    return numbers


def _input_id(key: int) -> str:
    """The id of an input: 16 hex digits; the rows of the input are `<id>-1`, `<id>-2`, …"""
    return f"{key & (2**64 - 1):016x}"


def _answer(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}
