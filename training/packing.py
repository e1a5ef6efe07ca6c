"""Put many short texts into few full rows, without any of them seeing another, and cut rows into batches.

A group is one context (the prompt) with one or more continuations (its answers). Answers to the same prompt
sit behind one copy of it, each blind to the others: on E2E, where a prompt has eight references, more than
half of the prompt tokens need not be computed. Masks and positions make this exact: every answer gets the
loss that it would get alone in a row (tested).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.loss import IGNORED

Tokens = npt.NDArray[np.int32]
_WINDOW = 4096
"""Pieces that are fitted into rows together; bounds the work, and is far more than a good fit needs."""
_GOOD_PADDING = 0.03
"""Share of padding below which fewer rows count more than less padding."""


@dataclass(frozen=True, slots=True)
class Group:
    """A context and its continuations, as token ids.

    The first token of each continuation is the last one of the prompt: it carries no loss itself but predicts
    the first token of the answer. In a plain text the context is empty and that token is `<s>`.
    """

    context: Tokens
    continuations: tuple[Tokens, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some continuations of one group, to be placed in one row."""

    group: int
    chosen: tuple[int, ...]
    length: int


@dataclass(slots=True)
class Batch:
    """Rows ready for the model; B rows of T positions."""

    tokens: Tensor
    """[B, T] int64."""
    positions: Tensor
    """[B, T] int64, counted within each text."""
    visible: Tensor
    """[B, T, T] bool: may position i look at position j."""
    targets: Tensor
    """[B, T] int64, IGNORED where no loss is taken."""
    ids: list[str] = field(default_factory=list)
    """Ids of the data rows inside, for error messages."""
    real_tokens: int = 0
    """Positions that are not padding."""
    target_tokens: int = 0
    """Positions that carry loss."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        tensors = [t.to(device) for t in (self.tokens, self.positions, self.visible, self.targets)]
        return _batch(tensors, self.ids, self.real_tokens, self.target_tokens)


def _batch(tensors: list[Tensor], ids: list[str], real_tokens: int, target_tokens: int) -> Batch:
    tokens, positions, visible, targets = tensors
    return Batch(tokens, positions, visible, targets, ids, real_tokens, target_tokens)


def split_into_pieces(
    groups: Sequence[Group], capacity: int, most: int, rng: np.random.Generator
) -> list[Piece]:
    """Deal each group's continuations, in random order, into pieces of at most `most` that fit in
    `capacity`."""
    pieces: list[Piece] = []
    for index, group in enumerate(groups):
        chosen: list[int] = []
        length = len(group.context)
        for number in rng.permutation(len(group.continuations)).tolist():
            size = len(group.continuations[number]) - 1
            if chosen and (len(chosen) == most or length + size > capacity):
                pieces.append(Piece(index, tuple(chosen), length))
                chosen, length = [], len(group.context)
            chosen.append(number)
            length += size
        pieces.append(Piece(index, tuple(chosen), length))
    return pieces


def fit_into_rows(pieces: Sequence[Piece], capacity: int, rng: np.random.Generator) -> list[list[Piece]]:
    """Rows of pieces, in random order: best-fit decreasing within windows of the shuffled pieces."""
    order = rng.permutation(len(pieces)).tolist()
    rows: list[list[Piece]] = []
    for start in range(0, len(order), _WINDOW):
        window = sorted((pieces[i] for i in order[start : start + _WINDOW]), key=lambda piece: -piece.length)
        with_room: list[list[list[Piece]]] = [[] for _ in range(capacity + 1)]  # rows by free positions
        for piece in window:
            room = next((r for r in range(piece.length, capacity + 1) if with_room[r]), None)
            row = with_room[room].pop() if room is not None else []
            if room is None:
                rows.append(row)
            row.append(piece)
            with_room[(capacity if room is None else room) - piece.length].append(row)
    return [rows[i] for i in rng.permutation(len(rows)).tolist()]


class PackedData:
    """All groups of a split, packed anew for each epoch as a function of (seed, epoch) alone."""

    def __init__(self, groups: Sequence[Group], row_tokens: int, answers_per_prompt: int, seed: int) -> None:
        self.groups = groups
        self.row_tokens = row_tokens
        self._seed = seed
        # Large pieces save prompt tokens but fit badly. Take the size that needs the fewest rows among those
        # with little padding (or, where no size has little, the one with the least).
        largest = min(answers_per_prompt, max(len(group.continuations) for group in groups))
        shares = {most: self._try(most) for most in range(1, largest + 1)}
        self.answers_per_prompt = min(
            shares, key=lambda most: (max(shares[most][1], _GOOD_PADDING), shares[most][0])
        )

    def epoch(self, number: int) -> list[list[Piece]]:
        """The rows of an epoch."""
        return self._pack(number, self.answers_per_prompt)

    def _pack(self, number: int, most: int) -> list[list[Piece]]:
        rng = np.random.default_rng((self._seed, number))
        pieces = split_into_pieces(self.groups, self.row_tokens, most, rng)
        return fit_into_rows(pieces, self.row_tokens, rng)

    def _try(self, most: int) -> tuple[int, float]:
        """Rows and share of padding of the first epoch."""
        rows = self._pack(0, most)
        used = sum(piece.length for row in rows for piece in row)
        return len(rows), 1 - used / (len(rows) * self.row_tokens)

    def batch(self, rows: Sequence[Sequence[Piece]], height: int | None = None) -> Batch:
        """Arrays for `rows`; with `height`, empty rows are added up to it (so that shapes never change)."""
        shape = (height or len(rows), self.row_tokens)
        tokens, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        targets = np.full(shape, IGNORED, np.int64)
        text, branch = np.zeros(shape, np.int32), np.zeros(shape, np.int32)  # text 0 is padding
        ids: list[str] = []
        for y, row in enumerate(rows):
            x = 0
            for number, piece in enumerate(row, start=1):
                group = self.groups[piece.group]
                start = len(group.context)
                text[y, x : x + piece.length] = number
                tokens[y, x : x + start] = group.context
                positions[y, x : x + start] = np.arange(start)
                x += start
                for answer, chosen in enumerate(piece.chosen, start=1):
                    continuation = group.continuations[chosen]
                    end = x + len(continuation) - 1
                    tokens[y, x:end], targets[y, x:end] = continuation[:-1], continuation[1:]
                    positions[y, x:end] = np.arange(start, start + end - x)
                    branch[y, x:end] = answer
                    ids.append(group.ids[chosen])
                    x = end
        visible = visibility(torch.from_numpy(text), torch.from_numpy(branch))
        tensors = [torch.from_numpy(tokens), torch.from_numpy(positions), visible, torch.from_numpy(targets)]
        return _batch(tensors, ids, int((text > 0).sum()), int((targets != IGNORED).sum()))


def visibility(text: Tensor, branch: Tensor) -> Tensor:
    """[B, T, T] bool: i sees j of the same text that is not later and is prompt (branch 0) or i's own
    answer."""
    causal = torch.ones(text.shape[1], text.shape[1], dtype=torch.bool).tril()
    same_text = text[:, :, None] == text[:, None, :]
    readable = (branch[:, None, :] == 0) | (branch[:, :, None] == branch[:, None, :])
    return causal & same_text & readable


def dev_batches(data: PackedData, most: int, height: int) -> list[Batch]:
    """The batches that every evaluation uses: the first `most` of epoch 0, all of `height` rows."""
    rows = data.epoch(0)
    starts = range(0, min(len(rows), most * height), height)
    return [data.batch(rows[start : start + height], height) for start in starts]


class BatchStream:
    """Endless batches over epochs. Its position is two numbers, so that a resumed run reads on exactly
    there."""

    def __init__(self, data: PackedData, rows_per_batch: int) -> None:
        self._data = data
        self.epoch = 0
        self.row = 0
        """Rows of the current epoch that were handed out."""
        self._rows = data.epoch(0)
        self.rows_per_epoch = len(self._rows)
        self.rows_per_batch = min(rows_per_batch, self.rows_per_epoch)

    def steps(self, epochs: float, accumulate: int) -> int:
        """Optimizer steps of `epochs` passes, at least one."""
        return max(1, round(epochs * self.rows_per_epoch / (self.rows_per_batch * accumulate)))

    def seek(self, epoch: int, row: int) -> None:
        """Continue behind `row` rows of `epoch`."""
        self.epoch, self.row = epoch, row
        self._rows = self._data.epoch(epoch)

    def next(self) -> Batch:
        """The next batch; where an epoch ends within it, the next epoch fills it up."""
        rows: list[list[Piece]] = []
        while len(rows) < self.rows_per_batch:
            if self.row >= len(self._rows):
                self.seek(self.epoch + 1, 0)
            taken = self._rows[self.row : self.row + self.rows_per_batch - len(rows)]
            rows += taken
            self.row += len(taken)
        return self._data.batch(rows)
