"""The core's one dependency: something that turns token ids into logits for several sequences at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


@dataclass(eq=False)
class Slot:
    """One sequence's place in the KV cache. The engine moves and fills it; others only hold it."""

    row: int
    length: int = 0
    """Tokens whose keys and values are in the cache."""


class TokenEngine(ABC):
    """A causal language model with a KV cache of `max_sequences` rows of `context_length` tokens.

    Not thread-safe: one thread (the scheduler's worker) calls it.
    """

    context_length: int
    max_sequences: int
    vocab_size: int

    @abstractmethod
    def open(self) -> Slot:
        """A free row of the cache. Raises RuntimeError when all rows are taken."""

    @abstractmethod
    def prefill(self, slot: Slot, tokens: list[int]) -> Logits:
        """Append `tokens` (one or more) to the sequence; logits [vocab_size] after the last of them."""

    @abstractmethod
    def decode(self, tokens: Mapping[Slot, int]) -> Logits:
        """Append one token to each named sequence in one model run.

        Returns logits [open rows, vocab_size]; a sequence's are at its `slot.row` and stay valid
        until the next call.
        """

    @abstractmethod
    def close(self, slot: Slot) -> None:
        """Give the row back. Other slots may move to another row."""
