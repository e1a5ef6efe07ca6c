"""The files of a prepared data set, written in one pass over each split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from training.data.records import CHAT, DATA_TO_TEXT, SPLITS, TEXT
from training.data.splits import TRAIN
from training.data.stats import SplitStats
from training.data.table import batches

_ROW = ["task", "prompt", "answer", "input", "source", "line"]


def write_splits(target: Path, table: Dataset, codes: np.ndarray) -> dict[str, dict[str, Any]]:
    """Write the split and reference files into `target`; returns the statistics of each split.

    codes: (rows of the table,) TRAIN, DEV, TEST or DROPPED.
    """
    splits: dict[str, dict[str, Any]] = {}
    for code, name in enumerate(SPLITS):
        rows = table.select(np.flatnonzero(codes == code))
        splits[name] = _write_rows(target / f"{name}.jsonl", rows, name)
        if code != TRAIN:
            _write_references(target / f"references-{name}.jsonl", rows)
    return splits


def _write_rows(path: Path, rows: Dataset, split: str) -> dict[str, Any]:
    """One split file; returns its statistics. The number of rows per input counts up in the ids."""
    stats = SplitStats()
    per_input: dict[int, int] = {}
    references: Counter[int] = Counter()
    with path.open("w", encoding="utf-8") as stream:
        for batch in batches(rows, _ROW):
            for task, prompt_json, answer, key, source, line in batch:
                number = per_input[key] = per_input.get(key, 0) + 1
                references[key] += answer is not None and task in (DATA_TO_TEXT, CHAT)
                prompt = json.loads(prompt_json)
                stats.add(task, prompt[-1]["content"] if prompt else "", answer)
                row = {"id": f"{_input_id(key)}-{number}", "task": task, "split": split}
                if task == TEXT:
                    row["text"] = answer
                else:
                    row["messages"] = prompt if answer is None else [*prompt, _answer(answer)]
                row["source"] = f"{source}:{line}"
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return stats.summary(len(per_input), [count for count in references.values() if count])


def _write_references(path: Path, rows: Dataset) -> None:
    """One line for each distinct input, in order of first appearance, with all its references.

    Where the split has data-to-text rows, only these: they are what the generation metrics are about.
    """
    main_task = DATA_TO_TEXT if DATA_TO_TEXT in rows.unique("task") else None
    inputs: dict[int, tuple[list[dict[str, str]], list[str]]] = {}
    for batch in batches(rows, ["task", "prompt", "answer", "input"]):
        for task, prompt_json, answer, key in batch:
            if task == TEXT or (main_task and task != main_task):
                continue
            _, references = inputs.setdefault(key, (json.loads(prompt_json), []))
            if answer is not None:
                references.append(answer)
    with path.open("w", encoding="utf-8") as stream:
        for key, (prompt, references) in inputs.items():
            line: dict[str, Any] = {
                "id": _input_id(key),
                "input": prompt[-1]["content"],
                "references": references,
            }
            if len(prompt) > 1:
                line["messages"] = prompt
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")


def _input_id(key: int) -> str:
    """The id of an input: 16 hex digits; the rows of the input are `<id>-1`, `<id>-2`, …"""
    return f"{key & (2**64 - 1):016x}"


def _answer(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}
