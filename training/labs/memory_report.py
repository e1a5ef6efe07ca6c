"""`python -m training lab memory`: memory, FLOPs and tokens/s of a training step, predicted."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

from training.labs.arithmetic import non_embedding_count, parameter_count, parts, training_flops
from training.labs.children import Child
from training.labs.memory import Memory, Shape, training_memory
from training.labs.trial import TrialConfig

_MB = 1e6
_WARM_UP_STEPS, _STEPS, _ROUNDS = 2, 3, 5


@dataclass(frozen=True, slots=True)
class Speed:
    """What the speed prediction rests on."""

    peak_flops: float
    """FLOP/s of large matrix products."""
    share: float
    """Part of that peak which a training step reaches."""
    source: str

    def tokens_per_second(self, flops_per_token: float) -> float:
        """Predicted speed."""
        return self.peak_flops * self.share / flops_per_token


def shape_of(config: TrialConfig) -> Shape:
    """What the memory of a trial depends on, here."""
    from training.hardware import bf16_support

    return Shape(
        config.model, config.vocabulary, config.rows, config.row_tokens,
        bytes_per_number=2 if config.precision == "bf16" else 4,
        checkpointing=config.activation_checkpointing, dropout=config.dropout > 0,
        compiles_products=config.precision == "bf16" and bf16_support() not in (None, "cuda"),
    )  # fmt: skip


def flops_of(config: TrialConfig) -> float:
    """FLOPs per token of a trial's training step."""
    return training_flops(
        config.model, config.vocabulary, config.row_tokens, checkpointing=config.activation_checkpointing
    )


def measure_speed(config: TrialConfig, peak_flops: float | None, share: float | None) -> Speed:
    """Measure what is not given: the peak by large matrix products, the share by `predicted_speed`."""
    import torch

    from training.bench import matmul_peak
    from training.hardware import set_threads

    if peak_flops is None:
        set_threads(config.threads)
        print("measuring the peak of matrix products …", file=sys.stderr)
        peak_flops = matmul_peak(torch.bfloat16 if config.precision == "bf16" else torch.float32)
    if share is not None:
        return Speed(peak_flops, share, "given")
    print("measuring steps of one and two layers …", file=sys.stderr)
    share = predicted_speed(config) * flops_of(config) / peak_flops
    return Speed(peak_flops, share, "from steps of one and two layers, measured")


def predicted_speed(config: TrialConfig) -> float:
    """Tokens/s from measured steps of shallow models: L layers take the time of one, and L - 1 times what the
    second adds."""
    one, two = (1 / _best_speed(config, layers) for layers in (1, 2))  # seconds per token
    return 1 / (one + (config.model.num_hidden_layers - 1) * max(0.0, two - one))


def _best_speed(config: TrialConfig, layers: int) -> float:
    model = config.model.model_copy(update={"num_hidden_layers": layers})
    with Child(config.model_copy(update={"model": model})) as trial:
        return best_speed(trial)


def best_speed(trial: Child) -> float:
    """Tokens/s of the fastest of some rounds: other work on the machine only ever slows one down."""
    trial.run(_WARM_UP_STEPS)
    return max(trial.run(_STEPS).tokens_per_second for _ in range(_ROUNDS))


def report(config: TrialConfig, speed: Speed) -> tuple[str, dict[str, Any]]:
    """The prediction for people and as JSON."""
    memory, shape = training_memory(shape_of(config)), shape_of(config)
    flops = flops_of(config)
    step_tokens = config.rows * config.accumulate * config.row_tokens
    tokens_per_second = speed.tokens_per_second(flops)
    count = parameter_count(config.model, config.vocabulary)
    lines = [
        f"{count:,} parameters ({non_embedding_count(config.model):,} without the embedding), {config.rows} "
        f"rows x {config.row_tokens} tokens, {config.accumulate} micro-batches a step, {config.precision}, "
        f"activation checkpointing {'on' if config.activation_checkpointing else 'off'}, not compiled",
        "",
        *_memory_lines(memory, shape),
        "",
        *_flops_lines(config, flops),
        "",
        f"speed: {speed.peak_flops / 1e9:,.1f} GFLOP/s x {speed.share:.1%} ({speed.source}) / "
        f"{flops / 1e6:,.2f} MFLOP a token = {tokens_per_second:,.0f} tokens/s, "
        f"{step_tokens / tokens_per_second:.2f} s a step of {step_tokens:,} tokens",
    ]
    values = {
        "parameters": count, "memory": {**asdict(memory), "states": memory.states, "peak": memory.peak},
        "flops_per_token": flops, "flops_per_step": flops * step_tokens, "speed": asdict(speed),
        "tokens_per_second": tokens_per_second,
    }  # fmt: skip
    return "\n".join(lines), values


def _memory_lines(memory: Memory, shape: Shape) -> list[str]:
    kept = "only inputs kept" if shape.checkpointing else "all kept"
    layers = f"{shape.config.num_hidden_layers} layers x {memory.activations_per_layer / _MB:.1f} MB"
    rows = {
        "weights": memory.weights,
        "float32 master weights": memory.master_weights,
        "gradients, float32 sum": memory.gradients,
        "AdamW moments": memory.optimizer,
        "batch": memory.batch,
        "compiled matrix products": memory.kernels,
        f"activations: {layers}, {kept}": memory.activations,
        **{f"  with what comes and goes at the {name}": size for name, size in memory.moments.items()},
        f"peak: states and the {memory.peak_moment}": memory.peak,
    }
    return [f"{name:62} {size / _MB:>10,.1f} MB" for name, size in rows.items() if size]


def _flops_lines(config: TrialConfig, flops: float) -> list[str]:
    count = parameter_count(config.model, config.vocabulary)
    step = flops * config.rows * config.accumulate * config.row_tokens
    lines = [
        f"{part.name:28} {part.weights * part.count:>13,} weights  forward "
        f"{part.flops_per_token * part.count / 1e6:>9,.3f} MFLOP a token"
        for part in parts(config.model, config.vocabulary, config.row_tokens)
    ]
    total = f"training: {flops / 1e6:,.2f} MFLOP a token (6 N = {6 * count / 1e6:,.2f})"
    return [*lines, f"{total}, {step / 1e9:,.1f} GFLOP a step"]
