"""Continuous batching on plain ONNX Runtime.

GroupQueryAttention reads each row's own length from the attention mask and writes the new keys and values
into the buffer it was given. So one buffer per layer holds all sequences, a decode step runs rows
[0, open) whatever their lengths, and a sequence joins or leaves between two steps without a copy of the
cache. onnxruntime-genai's own Engine batches on CPU only in fixed groups, which leave together
(its paged attention needs CUDA), and its Generator cannot be joined by a second sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge.engine import Logits, Slot, TokenEngine
from edge.layout import LayoutError, ModelLayout

_KNOWN_INPUTS = {"input_ids", "attention_mask", "position_ids"}
_CACHE_TYPES: dict[str, type[np.generic]] = {"tensor(float)": np.float32, "tensor(int8)": np.int8}
"""What the cache holds, by the type of the graph's inputs; the scales of int8 are inside the graph."""
_SMALLEST_MASK = 64


@dataclass
class _DecodeStep:
    """A prepared run over some number of sequences, none longer than the mask.

    The mask [rows, width] has ones up to and with the next token's place, `positions` holds that place.
    """

    binding: ort.IOBinding
    ids: NDArray[np.int64]
    mask: NDArray[np.int64]
    positions: NDArray[np.int64]
    logits: Logits


class OrtEngine(TokenEngine):
    """An exported decoder on the CPU execution provider."""

    def __init__(self, layout: ModelLayout, *, max_sequences: int, threads: int) -> None:
        """Load the graph with `threads` intra-op threads. Raises LayoutError when it cannot be used."""
        self.context_length = layout.context_length
        self.vocab_size = layout.vocab_size
        self.max_sequences = max_sequences
        self._layout = layout
        self._session = _open_session(layout, threads)
        inputs = {i.name: i.type for i in self._session.get_inputs()}
        self._has_positions = "position_ids" in inputs
        dtype = _CACHE_TYPES[inputs[layout.past_names[0]]]
        shape = (max_sequences, layout.key_value_heads, layout.context_length, layout.head_size)
        # Zeros from the system are pages that cost no memory until a sequence reaches them.
        self._cache = [np.zeros(shape, dtype) for _ in layout.past_names]
        self._arange = np.arange(layout.context_length, dtype=np.int64)
        self._open: list[Slot] = []
        self._steps: dict[tuple[int, int], _DecodeStep] = {}
        self._current: _DecodeStep | None = None
        """The step whose mask is as the open sequences are; None after anything but a decode."""
        self._prefills: dict[int, ort.IOBinding] = {}

    def open(self) -> Slot:
        """A free row of the cache. Raises RuntimeError when all rows are taken."""
        if len(self._open) == self.max_sequences:
            raise RuntimeError(f"all {self.max_sequences} cache rows are taken")
        slot = Slot(row=len(self._open))
        self._open.append(slot)
        self._current = None
        return slot

    def prefill(self, slot: Slot, tokens: list[int]) -> Logits:
        """Append `tokens` to the sequence; logits [vocab_size] after the last of them."""
        total = slot.length + len(tokens)
        if total > self.context_length:
            raise ValueError(f"{total} tokens do not fit the context of {self.context_length}")
        binding = self._prefills.get(slot.row)
        if binding is None:
            binding = self._prefills[slot.row] = self._bind_cache(slot.row, slot.row + 1)
        ids = np.array([tokens], np.int64)
        mask = np.ones((1, total), np.int64)
        positions = self._arange[None, slot.length : total]
        self._bind_inputs(binding, ids, mask, positions)
        binding.bind_output("logits", "cpu")
        self._session.run_with_iobinding(binding)
        slot.length = total
        self._current = None
        # [1, tokens, vocab], or [1, 1, vocab] where the export pruned the head to the last position.
        logits: Logits = binding.get_outputs()[-1].numpy()[0, -1]
        return logits

    def decode(self, tokens: Mapping[Slot, int]) -> Logits:
        """Append one token to each named sequence; logits [open rows, vocab_size] by `slot.row`.

        An open sequence that is not named (its prompt is still being read) runs too: what this
        writes after its end is overwritten by its own next tokens, and its length does not change.
        """
        step = self._current
        longest = 1 + max(slot.length for slot in self._open)
        width = 0 if step is None else step.mask.shape[1]
        if step is None or longest > width:
            step = self._current = self._filled_step(longest)
            width = step.mask.shape[1]
        for slot, token in tokens.items():
            step.ids[slot.row, 0] = token
        self._session.run_with_iobinding(step.binding)
        for slot in tokens:
            # One more place for the next step, where writing the whole mask anew would cost more.
            slot.length += 1
            step.positions[slot.row, 0] = slot.length
            if slot.length < width:
                step.mask[slot.row, slot.length] = 1
        return step.logits

    def close(self, slot: Slot) -> None:
        """Give the row back; the last open row moves into the gap, so that open rows stay together."""
        last = self._open.pop()
        self._current = None
        if last is slot:
            return
        for cache in self._cache:
            cache[slot.row, :, : last.length] = cache[last.row, :, : last.length]
        last.row = slot.row
        self._open[last.row] = last

    def _filled_step(self, longest: int) -> _DecodeStep:
        """The prepared run for the open sequences, with their mask and positions."""
        step = self._step(len(self._open), longest)
        for slot in self._open:
            step.mask[slot.row, : slot.length + 1] = 1
            step.mask[slot.row, slot.length + 1 :] = 0
            step.positions[slot.row, 0] = slot.length
        return step

    def _step(self, rows: int, longest: int) -> _DecodeStep:
        """The prepared run for `rows` rows; masks come in powers of two, so that few are prepared."""
        size = _SMALLEST_MASK
        while size < longest:
            size *= 2
        size = min(size, self.context_length)
        step = self._steps.get((rows, size))
        if step is None:
            step = self._steps[rows, size] = self._prepare(rows, size)
        return step

    def _prepare(self, rows: int, size: int) -> _DecodeStep:
        step = _DecodeStep(
            binding=self._bind_cache(0, rows),
            ids=np.zeros((rows, 1), np.int64),
            mask=np.zeros((rows, size), np.int64),
            positions=np.zeros((rows, 1), np.int64),
            logits=np.zeros((rows, 1, self.vocab_size), np.float32)[:, 0],
        )
        self._bind_inputs(step.binding, step.ids, step.mask, step.positions)
        step.binding.bind_output(
            "logits", "cpu", 0, np.float32, (rows, 1, self.vocab_size), step.logits.ctypes.data
        )
        return step

    def _bind_inputs(
        self,
        binding: ort.IOBinding,
        ids: NDArray[np.int64],
        mask: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> None:
        named = {"input_ids": ids, "attention_mask": mask}
        if self._has_positions:
            named["position_ids"] = positions
        for name, array in named.items():
            binding.bind_input(name, "cpu", 0, np.int64, array.shape, array.ctypes.data)

    def _bind_cache(self, first: int, last: int) -> ort.IOBinding:
        """A binding whose past and present are the same memory: rows [first, last) of the cache."""
        binding: ort.IOBinding = self._session.io_binding()
        names = zip(self._layout.past_names, self._layout.present_names, self._cache, strict=True)
        for past, present, cache in names:
            rows = cache[first:last]
            binding.bind_input(past, "cpu", 0, rows.dtype, rows.shape, rows.ctypes.data)
            binding.bind_output(present, "cpu", 0, rows.dtype, rows.shape, rows.ctypes.data)
        return binding


def _open_session(layout: ModelLayout, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(layout.graph), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime raises its own, unrelated classes
        raise LayoutError(f"{layout.graph}: onnxruntime cannot load it: {exc}") from exc
    types = {i.name: i.type for i in session.get_inputs()}
    unknown = set(types) - _KNOWN_INPUTS - set(layout.past_names)
    if unknown:
        raise LayoutError(f"{layout.graph}: unknown inputs {sorted(unknown)}; not a text decoder")
    caches = {types.get(name, "none") for name in layout.past_names}
    if len(caches) != 1 or not caches <= set(_CACHE_TYPES):
        raise LayoutError(f"{layout.graph}: a cache of {sorted(caches)}; this runtime has float and int8")
    return session
