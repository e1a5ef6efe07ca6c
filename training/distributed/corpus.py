"""Packed rows that workers share: each takes its part of every global batch."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.distributed.config import DistributedConfig, DistributedError
from training.examples import ChatTokenizer, Examples, read_answers, read_texts
from training.packing import Batch, PackedData, Piece


class ShardedData(PackedData):
    """Packed data of which a worker builds every `size`-th row of a batch, beginning with row `rank`.

    All workers walk through the same rows, so that N of them see together exactly the batches that one
    worker sees.
    """

    rank = 0
    size = 1

    def share(self, rank: int, size: int) -> None:
        """Build the rows of worker `rank` of `size` alone from now on."""
        self.rank, self.size = rank, size

    def batch(self, rows: Sequence[Sequence[Piece]], height: int | None = None) -> Batch:
        """This worker's part of `rows`, filled up to its part of `height`."""
        return super().batch(rows[self.rank :: self.size], height and -(-height // self.size))


@dataclass(slots=True)
class Corpus:
    """Both splits, read once by the process that starts the job and sent to the workers."""

    train: ShardedData
    dev: ShardedData
    rows: int
    too_long: int


def read_corpus(settings: DistributedConfig, tokenizer: ChatTokenizer) -> Corpus:
    """Read and tokenize. Raises ExamplesError, and DistributedError where workers would have no row."""
    read = read_answers if settings.learn == "answers" else read_texts
    examples = read(settings.data / "train.jsonl", tokenizer, settings.batch.row_tokens)
    if examples.too_long:
        limit = settings.batch.row_tokens
        print(f"warning: {examples.too_long} rows are longer than {limit} tokens: left out", file=sys.stderr)
    path = settings.data / "dev.jsonl"
    dev = examples
    if path.is_file() and path.stat().st_size:
        dev = read(path, tokenizer, settings.batch.row_tokens)
    else:
        print(f"warning: {path} is missing or empty: the dev loss is taken on training rows", file=sys.stderr)
    return Corpus(_packed(settings, examples), _packed(settings, dev), examples.rows, examples.too_long)


def _packed(settings: DistributedConfig, examples: Examples) -> ShardedData:
    batch = settings.batch
    return ShardedData(examples.groups, batch.row_tokens, batch.answers_per_prompt, settings.seed)


def require_rows(rows_per_batch: int, settings: DistributedConfig, data: Path) -> None:
    """Raise DistributedError where a worker would get no row of a batch."""
    if rows_per_batch < settings.workers:
        wanted = settings.batch.rows
        found = "" if rows_per_batch == wanted else f" ({data} fills only {rows_per_batch} rows)"
        raise DistributedError(
            f"batch.rows = {wanted}{found} cannot be shared among {settings.workers} workers; raise "
            "batch.rows, or take fewer workers"
        )
