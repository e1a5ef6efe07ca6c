"""`python -m edge bench`: the edge road against transformers eager fp32, on the same model in one run.

Greedy, the same prompts, a fixed number of new tokens. Contestants take turns (interleaved), because the
machine around them changes; each figure is the median over the repeats, smallest and largest beside it.
"""

from __future__ import annotations

import gc
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bundle import Bundle
from common.errors import TriviumError
from common.files import atomic_write

PEER = "transformers eager fp32"
Contestant = Callable[[list[int]], None]


class BenchError(TriviumError):
    """The benchmark cannot be run as asked."""


@dataclass(frozen=True)
class BenchOptions:
    """How to measure."""

    bundle: Path
    output: Path
    python: Path
    """The interpreter of the environment without torch, for the server's memory and cold start."""
    repeats: int = 7
    new_tokens: int = 128
    prompts: int = 3
    threads: int = 0


@dataclass
class Speed:
    """Single-stream decoding speed of one contestant, tokens per second, one value per repeat."""

    name: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Tokens per second."""
        return statistics.median(self.values)


def bench(options: BenchOptions) -> dict[str, Any]:
    """Measure, print a table, write `options.output` (JSON), return what was written. Raises TriviumError."""
    from edge.bench_http import ServerFigures, measure_server
    from edge.server import default_threads

    if options.repeats < 1 or options.new_tokens < 2 or options.prompts < 1:
        raise BenchError("--repeats and --prompts must be at least 1, --new-tokens at least 2")
    bundle = Bundle.open(options.bundle)
    threads = {v: options.threads or default_threads(bundle.onnx_dir(v)) for v in bundle.variants}
    prompts = _prompts(bundle, options)
    speeds = _single_stream(bundle, prompts, options, threads)
    servers: list[ServerFigures] = []
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as scratch:
        for variant in bundle.variants:
            print(f"server, {variant} ...", flush=True)
            servers.append(measure_server(bundle, variant, options, threads[variant], Path(scratch)))
    peer = max((speed for speed in speeds if speed.name.startswith(PEER)), key=lambda speed: speed.median)
    method = (
        f"greedy, {len(prompts)} golden prompts x {options.new_tokens} new tokens, "
        f"{options.repeats} interleaved repeats, median (smallest to largest)"
    )
    result: dict[str, Any] = {
        "model": bundle.model_id,
        "bundle_digest": bundle.digest,
        "machine": _machine(threads),
        "method": method,
        "single_stream_tokens_per_second": {
            speed.name: {
                "median": speed.median, "min": min(speed.values), "max": max(speed.values),
                "n": len(speed.values), "ratio_to_peer": speed.median / peer.median,
            }
            for speed in speeds
        },
        "peer": peer.name,
        "servers": [asdict(server) for server in servers],
    }  # fmt: skip
    atomic_write(options.output, _json(result))
    print(_table(speeds, peer, servers, method))
    print(f"written to {options.output}")
    return result


def newest_bundle(root: Path) -> Path:
    """The bundle below `root` that was changed last and has ONNX variants. Raises BenchError."""
    found = [path.parent for path in root.glob("*/*/manifest.json") if (path.parent / "onnx").is_dir()]
    if not found:
        raise BenchError(f"{root}: no bundle with ONNX variants; `make demo` makes one, or give --bundle")
    return max(found, key=lambda path: (path / "manifest.json").stat().st_mtime)


def _prompts(bundle: Bundle, options: BenchOptions) -> list[list[int]]:
    prompts = [golden.prompt_token_ids for golden in bundle.manifest.golden[: options.prompts]]
    if not prompts:
        raise BenchError(f"{bundle.path}: no golden prompts to measure with")
    if not bundle.variants:
        raise BenchError(f"{bundle.path}: no ONNX variants; run `python -m edge export` first")
    return prompts


def _single_stream(
    bundle: Bundle, prompts: Sequence[list[int]], options: BenchOptions, threads: dict[str, int]
) -> list[Speed]:
    contestants = _transformers(bundle, options.new_tokens, options.threads)
    for variant in bundle.variants:
        contestants[f"edge {variant}"] = _edge(bundle, variant, options.new_tokens, threads[variant])
        contestants[f"onnxruntime-genai {variant}"] = _genai(
            bundle, variant, options.new_tokens, threads[variant]
        )
    speeds = [Speed(name) for name in contestants]
    for answer in contestants.values():  # warm-up
        answer(prompts[0])
    gc.collect()
    for repeat in range(options.repeats):
        print(f"single stream, repeat {repeat + 1} of {options.repeats} ...", flush=True)
        for speed, answer in zip(speeds, contestants.values(), strict=True):
            started = time.perf_counter()
            for prompt in prompts:
                answer(prompt)
            seconds = time.perf_counter() - started
            speed.values.append(len(prompts) * options.new_tokens / seconds)
    return speeds


def _transformers(bundle: Bundle, new_tokens: int, threads: int) -> dict[str, Contestant]:
    """transformers with one thread and with all: which is faster depends on the model and the machine."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        bundle.model_dir, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    model.eval()

    def answer(count: int, prompt: list[int]) -> None:
        torch.set_num_threads(count)
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            made = model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False,
                max_new_tokens=new_tokens, min_new_tokens=new_tokens, pad_token_id=0,
            )  # fmt: skip
        assert made.shape[1] == len(prompt) + new_tokens

    counts = sorted({threads} if threads else {1, len(os.sched_getaffinity(0))})
    return {f"{PEER}, threads: {count}": partial(answer, count) for count in counts}


def _edge(bundle: Bundle, variant: str, new_tokens: int, threads: int) -> Contestant:
    from edge.layout import ModelLayout
    from edge.ort_engine import OrtEngine
    from edge.parity import greedy

    layout = ModelLayout.read(bundle.onnx_dir(variant))
    engine = OrtEngine(layout, max_sequences=1, threads=threads)

    def answer(prompt: list[int]) -> None:
        assert len(greedy(engine, prompt, new_tokens, frozenset())) == new_tokens

    return answer


def _genai(bundle: Bundle, variant: str, new_tokens: int, threads: int) -> Contestant:
    """onnxruntime-genai's own Generator on the same files, for comparison."""
    import json

    import numpy as np
    import onnxruntime_genai as og

    config = og.Config(str(bundle.onnx_dir(variant)))
    sessions = {"session_options": {"intra_op_num_threads": threads}}
    config.overlay(json.dumps({"model": {"decoder": sessions}}))
    model = og.Model(config)

    def answer(prompt: list[int]) -> None:
        params = og.GeneratorParams(model)
        total = len(prompt) + new_tokens
        params.set_search_options(max_length=total, min_length=total, do_sample=False)
        generator = og.Generator(model, params)
        generator.append_tokens(np.array(prompt, np.int32))
        while not generator.is_done():
            generator.generate_next_token()

    return answer


def _machine(threads: dict[str, int]) -> dict[str, Any]:
    import onnxruntime
    import torch
    import transformers

    return {
        "platform": platform.platform(), "processors": len(os.sched_getaffinity(0)), "threads": threads,
        "load_average_1min": os.getloadavg()[0], "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__, "torch": torch.__version__,
        "transformers": transformers.__version__,
    }  # fmt: skip


def _json(result: dict[str, Any]) -> str:
    import json

    return json.dumps(result, indent=2) + "\n"


def _table(speeds: Sequence[Speed], peer: Speed, servers: Sequence[Any], method: str) -> str:
    lines = [
        "", f"Single stream, tokens/s: {method}", "",
        "| runtime | tokens/s | smallest to largest | against transformers |", "| --- | --- | --- | --- |",
        *(
            f"| {s.name} | {s.median:,.0f} | {min(s.values):,.0f} to {max(s.values):,.0f} | "
            f"{s.median / peer.median:.1f}x |"
            for s in speeds
        ),
        "", "The server (no torch), through HTTP, streams; client on the same processors", "",
        "| format | files MB | ready s | RSS MB, ready | RSS MB, loaded | tokens/s at 1 / 4 / 8 streams |",
        "| --- | --- | --- | --- | --- | --- |",
        *(s.row() for s in servers),
    ]  # fmt: skip
    return "\n".join(lines)
