"""What learning from pairs needs, whatever the loss: pairs as packed rows, the rows of a step, the folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.alignment.config import PairwiseConfig
from training.alignment.errors import AlignmentError
from training.alignment.make_pairs import pairs_folder
from training.alignment.records import Pair, read_pairs
from training.alignment.runs import Job, open_job
from training.alignment.sequences import AnswerRows, chunks
from training.alignment.tasks import Start, load_start
from training.packing import Batch, Piece, Tokens


@dataclass(slots=True)
class PairRows:
    """Pairs as rows; the answers of pair i are numbered i * each (chosen), i * each + 1 (rejected), …"""

    rows: AnswerRows
    pairs: list[Pair]
    too_long: int
    """Pairs left out because they do not fit into a row."""
    each: int
    """Answers per pair: two, or three where another input's answer stands beside them (KTO)."""

    def __len__(self) -> int:
        return len(self.pairs)


def open_pair_job(name: str, settings: PairwiseConfig) -> tuple[Job, Start]:
    """The run, recognised by settings, start weights and pairs, and the start model."""
    start = load_start(settings.start)
    files = {"start": start.folder / "model.safetensors", "pairs": pair_file(settings.pairs)}
    return open_job(name, settings, files), start


def packed_pairs(
    job: Job, settings: PairwiseConfig, start: Start, *, after: Sequence[int] = (), mismatched: bool = False
) -> tuple[PairRows, PairRows]:
    """Train and dev pairs as rows; see `pack_pairs`. The start model moves to the run's device."""
    start.model.to(job.device)
    train, dev = (
        pack_pairs(pairs, start, settings.row_tokens, settings.seed, after=after, mismatched=mismatched)
        for pairs in find_pairs(job, settings, start)
    )
    return train, dev


def pair_facts(train: PairRows, dev: PairRows, steps: int) -> dict[str, int]:
    """How much there was to learn from, for the result."""
    too_long = train.too_long + dev.too_long
    return {"train_pairs": len(train), "dev_pairs": len(dev), "pairs_too_long": too_long, "steps": steps}


def find_pairs(job: Job, settings: PairwiseConfig, start: Start) -> tuple[list[Pair], list[Pair]]:
    """Train and dev pairs of the configured folder, or made now (or by the interrupted run) and kept.

    Raises AlignmentError where there are none, or none on one side.
    """
    folder = settings.pairs or settings.output / "pairs"
    if settings.pairs is None:
        made_from = {key: job.identity[key] for key in ("make", "seed", "data_sha256", "start_sha256")}
        if not made_before(folder, made_from):
            facts = {"made_from": made_from}
            pairs_folder(start, settings.data, folder, settings.make, settings.seed, facts=facts)
    elif not folder.is_dir():
        raise AlignmentError(
            f"pairs: {folder}: no such folder; `python -m training align pairs` makes one, "
            "`python -m training align read` converts a file"
        )
    return read_pairs(folder / "train.jsonl"), read_pairs(folder / "dev.jsonl")


def made_before(folder: Path, made_from: dict[str, Any]) -> bool:
    """Whether `folder` holds whole pairs that were made from just this."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(report.get("made_from") == made_from)


def pack_pairs(
    pairs: Sequence[Pair], start: Start, row_tokens: int, seed: int, *, after: Sequence[int], mismatched: bool
) -> PairRows:
    """Tokenize and pack; `after` are tokens to add behind the end of each answer.

    With `mismatched`, the chosen answer of the pair before stands third. Raises AlignmentError where no pair
    fits into `row_tokens` (and the model's context).
    """
    tokenizer = start.tokenizer
    prompts = tokenizer.encode([tokenizer.prompt(pair.prompt) for pair in pairs])
    end = tokenizer.answer_end()
    chosen = _encode(start, [pair.chosen + end for pair in pairs], after)
    rejected = _encode(start, [pair.rejected + end for pair in pairs], after)
    answers = [list(both) for both in zip(chosen, rejected, strict=True)]
    if mismatched:
        answers = [[*both, answers[place - 1][0]] for place, both in enumerate(answers)]
    context = start.model.config.max_position_embeddings
    kept = [
        place
        for place, (prompt, many) in enumerate(zip(prompts, answers, strict=True))
        if len(prompt) + sum(map(len, many)) <= row_tokens and len(prompt) + max(map(len, many)) <= context
    ]
    if not kept:
        raise AlignmentError(
            f"all {len(pairs)} pairs are longer than row_tokens = {row_tokens} or the context of {context}; "
            "raise row_tokens, or take a model with a longer context"
        )
    if len(kept) < len(pairs):
        print(f"warning: {len(pairs) - len(kept)} pairs do not fit into a row: left out", file=sys.stderr)
    rows = AnswerRows(
        [prompts[place] for place in kept],
        [answers[place] for place in kept],
        row_tokens,
        seed,
        together=True,
    )
    return PairRows(rows, [pairs[place] for place in kept], len(pairs) - len(kept), 3 if mismatched else 2)


class PairStream:
    """The rows of each step, as a function of the step's number."""

    def __init__(self, data: PairRows, rows_per_step: int, device: torch.device) -> None:
        self._data, self._device = data, device
        self._epoch, self._rows = 0, data.rows.epoch(0)
        self._height = min(rows_per_step, len(self._rows))
        self.steps_per_epoch = max(1, len(self._rows) // self._height)

    def steps(self, settings: PairwiseConfig) -> int:
        """Gradient steps of the whole run."""
        return settings.max_steps or max(1, round(settings.epochs * self.steps_per_epoch))

    def at(self, step: int) -> tuple[Batch, Tensor]:
        """The batch of a step, and the numbers of its answers; an epoch's last incomplete batch is left
        out."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._rows = epoch, self._data.rows.epoch(epoch)
        rows: list[list[Piece]] = self._rows[place * self._height : (place + 1) * self._height]
        return self._data.rows.batch(rows, self._device)


def batches_of(data: PairRows, rows_per_batch: int, device: torch.device) -> list[tuple[Batch, Tensor]]:
    """All pairs once, for measuring."""
    return [data.rows.batch(rows, device) for rows in chunks(data.rows.epoch(0), rows_per_batch)]


def by_pair(values: Tensor, numbers: Tensor, each: int) -> tuple[Tensor, Tensor]:
    """Values [A] of a batch's answers as [B, each], and the numbers of the pairs [B]."""
    # The answers of a pair stand together: shuffled pairs, in order.
    order = numbers.argsort().to(values.device)
    return values[order].view(-1, each), numbers.sort().values[::each] // each


def pair_file(folder: Path | None) -> Path | None:
    """The file whose digest stands for a folder of pairs."""
    path = folder / "train.jsonl" if folder else None
    return path if path and path.is_file() else None


def _encode(start: Start, texts: Sequence[str], after: Sequence[int]) -> list[list[int]]:
    tokens: list[Tokens] = start.tokenizer.encode(texts)
    return [[*ids.tolist(), *after] for ids in tokens]
