"""A few training steps of any shape, timed, in a process of its own: what the calculators are checked with.

`python -m training.labs.trial` reads a `TrialConfig` as one line of JSON, says when it is ready, then runs as
many steps as each further line asks for, and answers each with a line. Two such processes side by side, asked
in turns, are an interleaved comparison; a process of its own is what makes peak memory a figure of one shape.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from common.config import StrictModel
from training import hardware
from training.loop import next_token_loss, take_step
from training.loss import IGNORED
from training.model import Llama, ModelConfig
from training.optim import FlatAdamW, OptimizerConfig
from training.packing import Batch, Group, PackedData, split_into_pieces

RATE = 1e-3
_TEXTS_PER_ROW = 8
_WARM_UP = ModelConfig(
    hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
    max_position_embeddings=64,
)  # fmt: skip


class TrialConfig(StrictModel):
    """One shape and the position of every switch."""

    model: ModelConfig
    vocabulary: int = Field(default=2048, ge=16)
    rows: int = Field(default=8, ge=1)
    row_tokens: int = Field(default=256, ge=8)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    activation_checkpointing: bool = False
    texts: Literal["full", "short"] = "full"
    """Rows without padding, or texts of a quarter of a row on average."""
    packing: bool = True
    fused_loss: bool = True
    dropout: float = Field(default=0.0, ge=0, lt=1)
    threads: int = Field(default=0, ge=0)
    seed: int = 1


class Round(StrictModel):
    """What some steps cost."""

    seconds: float
    tokens: int
    """Without padding."""
    losses: list[float]
    peak_bytes: int
    """Largest resident memory so far above that of the process with its libraries warm."""

    @property
    def tokens_per_second(self) -> float:
        """Tokens that are no padding, per second."""
        return self.tokens / self.seconds


class Trial:
    """The training step of the jobs (`training/loop.py`) on invented texts."""

    def __init__(self, config: TrialConfig) -> None:
        torch.manual_seed(config.seed)
        hardware.set_threads(config.threads)
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self._model = Llama(config.model, config.vocabulary, config.dropout)
        self._model.recompute = config.activation_checkpointing
        self._optimizer = FlatAdamW(self._model, OptimizerConfig(lr=RATE), dtype)
        self._objective = next_token_loss if config.fused_loss else plain_loss
        self._accumulate = config.accumulate
        self._batches = batches(config)
        if config.compile:
            self._model.compile(dynamic=False)

    def run(self, steps: int) -> tuple[float, int, list[float]]:
        """Seconds, tokens and losses of `steps` steps; making the batches is not timed."""
        seconds, tokens, losses = 0.0, 0, []
        for _ in range(steps):
            step = [next(self._batches) for _ in range(self._accumulate)]
            started = time.perf_counter()
            losses.append(take_step(self._model, self._objective, self._optimizer, step, RATE)[0])
            seconds += time.perf_counter() - started
            tokens += sum(batch.real_tokens for batch in step)
        return seconds, tokens, losses


def plain_loss(model: Llama, batch: Batch) -> Tensor:
    """The loss as a textbook has it: all logits at once, autograd through the softmax."""
    logits = model.logits(model(batch.tokens, batch.positions, batch.visible)).float()
    return F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def batches(config: TrialConfig) -> Iterator[Batch]:
    """Endless batches of the configured shape, a function of the seed alone."""
    rng = np.random.default_rng(config.seed)
    data = PackedData(_texts(config, rng), config.row_tokens, 1, config.seed)
    for epoch in count():
        rows = data.epoch(epoch)
        if not config.packing:
            pieces = split_into_pieces(data.groups, config.row_tokens, 1, rng)
            rows = [[piece] for piece in pieces]
        for start in range(0, len(rows) - config.rows + 1, config.rows):
            yield data.batch(rows[start : start + config.rows])


def _texts(config: TrialConfig, rng: np.random.Generator) -> list[Group]:
    total = config.rows * config.accumulate
    full = config.texts == "full"
    longest = config.row_tokens + 1
    lengths = np.full(2 * total, longest)
    if not full:
        # Log-normal, as lengths of sentences are: about a quarter of a row on average, none beyond it.
        drawn = rng.lognormal(np.log(longest / 5), 0.6, 2 * total * _TEXTS_PER_ROW)
        lengths = np.clip(drawn, 4, longest).astype(int)
    texts = [rng.integers(6, config.vocabulary, int(length)).astype(np.int32) for length in lengths]
    return [Group(text[:0], (text,), (str(i),)) for i, text in enumerate(texts)]


def warm_up(config: TrialConfig) -> int:
    """Touch the libraries with one small step; returns the resident bytes that the process then has.

    Without it the pages of the libraries themselves would count as memory of the training step.
    """
    small = config.model_copy(
        update={"model": _WARM_UP, "rows": 1, "row_tokens": 64, "vocabulary": 64, "accumulate": 1}
    )
    Trial(small.model_copy(update={"compile": False})).run(2)
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
    except OSError:
        print("warning: the peak of the imports counts as memory of the step", file=sys.stderr)
    return int(psutil.Process().memory_info().rss)


def main() -> None:
    """Serve one trial over standard input and output."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    config = TrialConfig.from_dict(json.loads(sys.stdin.readline()), "trial")
    baseline = warm_up(config)
    trial = Trial(config)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        seconds, tokens, losses = trial.run(int(line))
        peak = hardware.peak_rss_bytes() - baseline
        print(
            Round(seconds=seconds, tokens=tokens, losses=losses, peak_bytes=peak).model_dump_json(),
            flush=True,
        )


if __name__ == "__main__":
    main()
