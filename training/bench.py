"""`python -m training.bench`: tokens/s of our loop against transformers' Trainer, and the share of the
matrix-product peak.

Same architecture, start weights, token ids, rows per batch, optimizer (fused AdamW), clipping and precision.
The two take turns, each several times in one process, so that a busy machine hurts both alike; the
figure is the median of the rounds. Warm-up (compilation, first batches) is timed apart and printed.
Both see the same dense rows without padding, so what is compared is the loop and the model code alone;
packing and shared prompts come on top of it.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from common import cli
from common.files import atomic_write
from training import hardware
from training.config import resolve_model
from training.hardware import Precision
from training.layout import load_model, save_model
from training.loop import next_token_loss, take_step
from training.model import Llama, ModelConfig
from training.optim import FlatAdamW, OptimizerConfig
from training.packing import BatchStream, Group, PackedData

RATE = 1e-3


@dataclass(frozen=True, slots=True)
class Contender:
    """Rounds of one of the two."""

    name: str
    warmup_seconds: float
    tokens_per_second: list[float]

    @property
    def median(self) -> float:
        """Median tokens/s."""
        return statistics.median(self.tokens_per_second)


def flops_per_token(config: ModelConfig, parameters: int, row_tokens: int) -> float:
    """Forward and backward: 6 per weight (the tied embedding counts as the output matrix), and attention's
    2 products x 2 x 3 x hidden x row_tokens, halved because the mask is causal (PaLM, arXiv 2204.02311,
    B)."""
    return 6 * parameters + 6 * config.num_hidden_layers * config.hidden_size * row_tokens


def matmul_peak(dtype: torch.dtype, seconds: float = 2.0) -> float:
    """Best FLOP/s of large square matrix products on the threads in use."""
    best = 0.0
    for size in (1024, 2048, 3072):
        a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
        a @ b
        end = time.perf_counter() + seconds / 3
        while time.perf_counter() < end:
            started = time.perf_counter()
            a @ b
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


class OurLoop:
    """Steps of our loop on dense rows."""

    name = "trivium"

    def __init__(
        self, folder: Path, rows: list[Tensor], batch_rows: int, dtype: torch.dtype, compiled: bool
    ) -> None:
        self.model = load_model(folder)
        groups = [
            Group(np.zeros(0, np.int32), (row.numpy().astype(np.int32),), (str(i),))
            for i, row in enumerate(rows)
        ]
        self._stream = BatchStream(PackedData(groups, len(rows[0]) - 1, 1, seed=1), batch_rows)
        self._optimizer = FlatAdamW(self.model, OptimizerConfig(lr=RATE), dtype)
        if compiled:
            self.model.compile(dynamic=False)

    def run(self, steps: int) -> float:
        """Train for `steps` steps; returns seconds."""
        started = time.perf_counter()
        for _ in range(steps):
            take_step(self.model, next_token_loss, self._optimizer, [self._stream.next()], RATE)
        return time.perf_counter() - started


class TransformersTrainer:
    """transformers' Trainer on the same weights and rows."""

    name = "transformers Trainer"

    def __init__(self, folder: Path, rows: list[Tensor], batch_rows: int, dtype: torch.dtype) -> None:
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        # Trainer shifts the labels itself: a row of T + 1 ids would be T + 1 positions, ours are T.
        self._rows = [{"input_ids": row[:-1], "labels": row[:-1]} for row in rows]
        self._batch_rows = batch_rows
        self._bf16 = dtype == torch.bfloat16

    def run(self, steps: int) -> float:
        """Train for `steps` steps, no logging or saving; returns the seconds that Trainer itself counts."""
        from transformers import PrinterCallback, Trainer, TrainingArguments

        arguments = TrainingArguments(
            output_dir=tempfile.gettempdir(), max_steps=steps, per_device_train_batch_size=self._batch_rows,
            bf16=self._bf16, use_cpu=True, optim="adamw_torch_fused", learning_rate=RATE, max_grad_norm=1.0,
            logging_strategy="no", save_strategy="no", report_to=[], disable_tqdm=True,
            dataloader_num_workers=0,
        )  # fmt: skip
        trainer = Trainer(model=self.model, args=arguments, train_dataset=self._rows)
        trainer.remove_callback(PrinterCallback)
        return float(trainer.train().metrics["train_runtime"])


def measure(contenders: list[Any], steps: int, rounds: int, tokens_per_step: int) -> list[Contender]:
    """Warm each up, then let them take turns."""
    warmups = []
    for contender in contenders:
        started = time.perf_counter()
        contender.run(3)
        warmups.append(time.perf_counter() - started)
    speeds: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for contender, speed in zip(contenders, speeds, strict=True):
            speed.append(steps * tokens_per_step / contender.run(steps))
    return [Contender(c.name, w, s) for c, w, s in zip(contenders, warmups, speeds, strict=True)]


def bench(
    model: Annotated[str, typer.Option(help="size: nano, small, base")] = "nano",
    rows: Annotated[int, typer.Option(help="rows in a batch", min=1)] = 16,
    row_tokens: Annotated[int, typer.Option(help="positions in a row", min=8)] = 256,
    steps: Annotated[int, typer.Option(help="steps in a round", min=1)] = 10,
    rounds: Annotated[int, typer.Option(help="rounds of each", min=3)] = 5,
    compile: Annotated[
        bool, typer.Option(help="torch.compile for our loop, where there is a compiler")
    ] = True,
    precision: Annotated[Precision, typer.Option(help="auto is bf16 where the chip has it")] = "auto",
    threads: Annotated[int, typer.Option(help="0: OMP_NUM_THREADS or all cores", min=0)] = 0,
    output: Annotated[Path, typer.Option(help="JSON file to write")] = Path("reports/bench/train.json"),
) -> None:
    """Measure training speed side by side with transformers' Trainer."""
    config = resolve_model(model)
    count, dtype = hardware.set_threads(threads), hardware.choose_dtype(precision)
    torch.manual_seed(1)
    llama = Llama(config, 2048)
    data = list(torch.randint(6, 2048, (rows * 8, row_tokens + 1)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        save_model(folder, llama.state_dict(), config, Path(name), {"bos": 1, "eos": 2, "pad": 0})
        compiled = compile and hardware.can_compile()
        contenders = [
            OurLoop(folder, data, rows, dtype, compiled), TransformersTrainer(folder, data, rows, dtype)
        ]  # fmt: skip
        ours, theirs = measure(contenders, steps, rounds, rows * row_tokens)
    peak, flops = matmul_peak(dtype), flops_per_token(config, llama.parameter_count(), row_tokens)
    ratios = [a / b for a, b in zip(ours.tokens_per_second, theirs.tokens_per_second, strict=True)]
    result = {
        "model": model, "parameters": llama.parameter_count(), "rows": rows, "row_tokens": row_tokens,
        "steps_per_round": steps, "rounds": rounds, "compiled": compiled, "threads": count,
        "dtype": str(dtype).removeprefix("torch."),
        "bf16_unit": hardware.bf16_support(), "torch": torch.__version__,
        "contenders": [asdict(c) | {"median": c.median} for c in (ours, theirs)],
        "ratio": statistics.median(ratios), "ratio_range": [min(ratios), max(ratios)],
        "flops_per_token": flops, "matmul_peak_flops": peak, "peak_share": ours.median * flops / peak,
        "peak_share_transformers": theirs.median * flops / peak,
    }  # fmt: skip
    atomic_write(output, json.dumps(result, indent=2) + "\n")
    print(table(result, [ours, theirs]))
    print(f"written: {output}")


def table(result: dict[str, Any], contenders: list[Contender]) -> str:
    """The figures for people."""
    lines = [
        f"{result['model']}, {result['parameters'] / 1e6:.1f} M parameters, "
        f"{result['rows']} x {result['row_tokens']} positions a step, "
        f"{result['dtype']} (bf16 unit: {result['bf16_unit'] or 'none'}), {result['threads']} threads, "
        f"{result['rounds']} rounds of {result['steps_per_round']} steps in turns",
        f"{'':22} {'tokens/s':>10} {'lowest':>10} {'highest':>10} {'of peak':>8} {'warm-up':>8}",
    ]
    for one in contenders:
        share = one.median * result["flops_per_token"] / result["matmul_peak_flops"]
        low, high = min(one.tokens_per_second), max(one.tokens_per_second)
        lines.append(
            f"{one.name:22} {one.median:>10,.0f} {low:>10,.0f} {high:>10,.0f} {share:>8.1%} "
            f"{one.warmup_seconds:>6.1f} s"
        )
    low, high = result["ratio_range"]
    lines += [
        f"ratio {result['ratio']:.2f} (median over the rounds; {low:.2f} to {high:.2f})",
        f"peak: {result['matmul_peak_flops'] / 1e9:,.0f} GFLOP/s, best {result['dtype']} matrix product on "
        f"these threads; "
        f"{result['flops_per_token'] / 1e6:.1f} MFLOP a token = 6 N + 6 x layers x hidden x row_tokens",
    ]
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    cli.run(lambda: typer.run(bench))


if __name__ == "__main__":
    main()
