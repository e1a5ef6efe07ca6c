"""The optimizer state by parameter name: what a checkpoint holds, whichever strategy wrote it.

A run that began with two replicas can so go on with four shards or in a pipeline. The price: rank 0 sees the
whole state when it is saved; for models that no single worker can hold, PyTorch's distributed checkpoints
are the way.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.distributed.config import DistributedError
from training.optim import FlatAdamW

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's first and second moment, as torch calls them."""


def flat_layout(model: nn.Module) -> list[tuple[str, torch.Size]]:
    """Names and shapes in the order of FlatAdamW's vectors: matrices first."""
    named = [(name, p.shape) for name, p in model.named_parameters() if p.requires_grad]
    return sorted(named, key=lambda item: len(item[1]) <= 1)  # a stable sort


def named_state(optimizer: FlatAdamW, model: nn.Module) -> dict[str, Tensor]:
    """`weights.<name>`, `exp_avg.<name>`, `exp_avg_sq.<name>` and `step`, copied to the CPU."""
    flat, layout = optimizer.state_tensors(), flat_layout(model)
    vectors = {"weights": flat["master"]}
    for key in MOMENTS:
        if parts := [flat[name] for name in (f"adamw.0.{key}", f"adamw.1.{key}") if name in flat]:
            vectors[key] = torch.cat(parts)
    state = {"step": flat["adamw.0.step"].cpu()} if "adamw.0.step" in flat else {}
    for kind, vector in vectors.items():
        pieces = torch.split(vector.cpu(), [shape.numel() for _, shape in layout])
        for (name, shape), piece in zip(layout, pieces, strict=True):
            state[f"{kind}.{name}"] = piece.view(shape).clone()
    return state


def load_named_state(optimizer: FlatAdamW, model: nn.Module, state: dict[str, Tensor]) -> None:
    """Take over those parts of a whole model's state that `model` has. Raises DistributedError."""
    layout = flat_layout(model)
    decayed = sum(shape.numel() for _, shape in layout if len(shape) > 1)
    device = optimizer.master.device
    try:
        flat = {"master": _gather(state, "weights", layout).to(device)}
        for key in MOMENTS if "step" in state else ():
            vector = _gather(state, key, layout).to(device)
            flat |= {f"adamw.0.{key}": vector[:decayed], f"adamw.1.{key}": vector[decayed:]}
            flat |= {f"adamw.{part}.step": state["step"].clone() for part in (0, 1)}
        optimizer.load_state_tensors(flat)
    except (KeyError, RuntimeError) as exc:
        raise DistributedError(
            f"the checkpoint is of another model ({exc}); choose another --output, or start again "
            "with --fresh"
        ) from exc


def weights_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The float32 weights by name."""
    prefix = "weights."
    return {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}


def _gather(state: dict[str, Tensor], kind: str, layout: list[tuple[str, torch.Size]]) -> Tensor:
    return torch.cat([state[f"{kind}.{name}"].flatten() for name, _ in layout])
