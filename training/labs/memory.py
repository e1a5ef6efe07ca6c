"""Memory of a training step of `training/model.py`, tensor by tensor; M positions, T of them in a row.

States live always; what the forward pass keeps for the backward pass (activations) grows with M; transient
tensors come on top at the moment of the peak. Three moments can be the peak: the loss, when every activation
is there; the backward pass of the last layer; and that of the first, when the gradients of all layers are
there. This is eager mode; torch.compile fuses steps and keeps less.

The counts follow autograd's rules for the operations in the code (PyTorch, "derivatives.yaml"); the idea of
such a budget is from Korthikanti et al. 2022, arXiv 2205.05198, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.attention import QUERY_PARTS, SEEN_SHARE
from training.labs.arithmetic import parameter_count
from training.loss import ROUNDING, SLICE_POSITIONS
from training.model import ModelConfig

WIDE = 4
"""Bytes of float32."""
KERNEL_BYTES = 500_000
"""What oneDNN writes and keeps of code for each shape of a bf16 product on a CPU (measured, AVX-512); float32
products come from a library with ready kernels."""
_PRODUCTS = 3 * 5 + 6 * QUERY_PARTS
"""Shapes of products in a step: forward, by input and by weight, of four layers and the logits; two of
attention with two gradients each, for every part of the queries."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is trained, as far as memory depends on it."""

    config: ModelConfig
    vocabulary: int
    rows: int
    """Rows of a micro-batch; gradient accumulation does not change the memory."""
    row_tokens: int
    bytes_per_number: int = WIDE
    """Of the numbers it computes with: 4 for fp32, 2 for bf16."""
    checkpointing: bool = False
    dropout: bool = False
    compiles_products: bool = False
    """Whether the CPU's bf16 unit is used, through kernels that oneDNN compiles for every shape."""

    @property
    def positions(self) -> int:
        """M."""
        return self.rows * self.row_tokens


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by purpose, and the peak."""

    weights: int
    """What the model computes with; in fp32 these are the master weights themselves."""
    master_weights: int
    """Float32 weights beside those of a bf16 model."""
    gradients: int
    """The float32 sum over micro-batches."""
    optimizer: int
    """AdamW's two moments, float32."""
    batch: int
    """Token ids, positions, targets, the visibility matrix."""
    kernels: int
    """Compiled matrix products; the same for every size of model."""
    activations: int
    """What all layers keep for the backward pass."""
    activations_per_layer: int
    """What one layer keeps, or with checkpointing would keep and computes again."""
    moments: dict[str, int]
    """On top of the states at each possible peak: activations, gradients on their way, transient tensors."""

    @property
    def states(self) -> int:
        """Bytes that are there all the time."""
        held = self.weights + self.master_weights + self.gradients + self.optimizer
        return held + self.batch + self.kernels

    @property
    def peak_moment(self) -> str:
        """Which moment needs most."""
        return max(self.moments, key=lambda name: self.moments[name])

    @property
    def peak(self) -> int:
        """Bytes at that moment."""
        return self.states + self.moments[self.peak_moment]


def training_memory(shape: Shape) -> Memory:
    """Memory of training steps after the first (which has no optimizer states yet)."""
    count, size = parameter_count(shape.config, shape.vocabulary), shape.bytes_per_number
    positions, hidden = shape.positions, shape.config.hidden_size
    layers = shape.config.num_hidden_layers
    layer = layer_activations(shape)
    kept = hidden * positions * size if shape.checkpointing else layer
    rope = positions * shape.config.head_dim * size
    activations = layers * kept + final_norm_activations(shape) + rope
    return Memory(
        weights=count * size,
        master_weights=count * WIDE if size != WIDE else 0,
        gradients=count * WIDE,
        optimizer=2 * count * WIDE,
        batch=positions * (3 * 8 + shape.row_tokens * (1 + size)),  # who sees whom, and the mask made of it
        kernels=_PRODUCTS * KERNEL_BYTES if shape.compiles_products else 0,
        activations=activations,
        activations_per_layer=layer,
        moments={
            "loss": activations + loss_transients(shape),
            "backward of the last layer": layers * kept + rope + _backward(shape, layer, last=True),
            "backward of the first layer": kept + rope + _backward(shape, layer, last=False),
        },
    )


def layer_activations(shape: Shape) -> int:
    """Bytes that one layer keeps: inputs of its products, the two norms, probabilities, gate."""
    config, size = shape.config, shape.bytes_per_number
    hidden, wide = config.hidden_size, config.intermediate_size
    # Queries, keys and values are copied into the layout of the batched products (one copy a query head); the
    # mixed values are kept in it, and in that of the output projection.
    narrow = 3 * hidden + 2 * hidden
    narrow += 5 * wide  # gate and up, sigmoid(gate), its product with gate, and that with up
    narrow += round(config.num_attention_heads * shape.row_tokens * SEEN_SHARE)  # exponentials
    narrow += 2 * hidden if shape.dropout else 0  # masks
    return shape.positions * (narrow * size + 2 * _norm_bytes(shape))


def final_norm_activations(shape: Shape) -> int:
    """The last norm; its output is alive until the loss is taken."""
    return shape.positions * _norm_bytes(shape)


def _norm_bytes(shape: Shape) -> int:
    """Per position: the float32 input, the scaled vector before the weight, the output."""
    return shape.config.hidden_size * (WIDE + 2 * shape.bytes_per_number) + WIDE


def loss_transients(shape: Shape) -> int:
    """Logits of a slice as they are turned into gradients, and the gradients of hidden states and output.

    A second slice is computed while the first one's arrays are still there.
    """
    size, hidden = shape.bytes_per_number, shape.config.hidden_size
    counted = -(-shape.positions // ROUNDING) * ROUNDING
    slice_logits = min(counted, SLICE_POSITIONS) * shape.vocabulary
    each = 2 * WIDE + (size if size != WIDE else 0)
    if counted > SLICE_POSITIONS:
        each = max(each, 2 * (WIDE + size))
    return slice_logits * each + 2 * counted * hidden * size + shape.vocabulary * hidden * size


def _backward(shape: Shape, layer: int, *, last: bool) -> int:
    """Transient bytes in the backward pass of one layer, and the weight gradients that are there by then."""
    config, size, positions = shape.config, shape.bytes_per_number, shape.positions
    hidden, wide = config.hidden_size, config.intermediate_size
    probabilities = config.num_attention_heads * shape.row_tokens // QUERY_PARTS  # of one part
    # In the feed-forward part three gradients as wide as the gate exist while one kept array is gone.
    feed_forward = 2 * wide + 2 * hidden
    # In attention two more arrays of scores, when what the feed-forward part kept is gone.
    attention = 2 * probabilities + 3 * hidden - 5 * wide - 3 * hidden
    transient = positions * size * max(feed_forward, attention)
    again = layer if shape.checkpointing else 0
    vocabulary = shape.vocabulary * hidden
    arrived = vocabulary if last else parameter_count(config, shape.vocabulary)
    return transient + again + arrived * size
