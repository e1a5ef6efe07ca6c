"""What this machine can do for training: bf16 products, compiled kernels, threads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

import psutil
import torch

Precision = Literal["auto", "bf16", "fp32"]

_BF16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}
"""Flags of /proc/cpuinfo: x86 matrix units, x86 vectors, ARM."""


def bf16_support() -> str | None:
    """The unit that multiplies bf16 in hardware (`cuda`, `amx_bf16`, `avx512_bf16`, `bf16`), or None."""
    if torch.cuda.is_available():
        return "cuda" if torch.cuda.is_bf16_supported() else None
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    flags = next(
        (line.split() for line in text.splitlines() if line.lower().startswith(("flags", "features"))), []
    )
    return next(iter(sorted(_BF16_FLAGS & set(flags))), None)


def choose_dtype(precision: Precision) -> torch.dtype:
    """The dtype to compute in; `auto` is bf16 where the hardware has it (elsewhere it is emulated and
    slow)."""
    if precision == "auto":
        precision = "bf16" if bf16_support() else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def choose_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_threads(threads: int) -> int:
    """Use `threads` cores, or with 0 as many as this process may run on; returns the number."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chosen = threads or int(os.environ.get("OMP_NUM_THREADS") or 0) or available
    torch.set_num_threads(chosen)
    return chosen


def can_compile() -> bool:
    """Whether torch.compile finds a C++ compiler."""
    return torch.cuda.is_available() or any(
        shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")
    )


def peak_rss_bytes() -> int:
    """Largest resident memory of this process so far, in bytes."""
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return int(psutil.Process().memory_info().rss)
