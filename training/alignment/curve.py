"""Reward over-optimisation: the learned reward and the true one along a run, against the distance walked.

A policy that optimises a reward model finds its mistakes: the proxy keeps rising, the gold standard rises,
then falls (Gao et al. 2023, arXiv 2210.10760, who plot both over the square root of the KL divergence).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from common.files import atomic_path, atomic_write
from training.alignment.errors import AlignmentError

_SMOOTH_SHARE = 0.1
"""Width of the moving mean, as a share of the run."""


def write_curve(run: Path) -> dict[str, float]:
    """Write `curve.json` and `curve.png` from a run's metrics; returns the figures of the summary.

    Raises AlignmentError where the run had no reward model beside a gold reward.
    """
    rows = read_metrics(run / "metrics.jsonl")
    if not rows:
        raise AlignmentError(
            f"{run}: its metrics hold no gold_reward: run `python -m training align rlhf` with a "
            "reward_model on data with attribute lists or references"
        )
    curve = curve_of(rows)
    atomic_write(run / "curve.json", json.dumps(curve, indent=2) + "\n")
    with atomic_path(run / "curve.png") as temporary:
        _plot(curve, temporary)
    summary: dict[str, float] = curve["summary"]
    return summary


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The logged steps that have both rewards."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise AlignmentError(f"{path}: cannot be read: {exc}; give the run folder of `align rlhf`") from exc
    return [row for row in map(json.loads, lines) if "gold_reward" in row]


def curve_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The series, smoothed ones beside them, and where the gold reward was best."""
    series = {key: [float(row[key]) for row in rows] for key in ("step", "kl", "reward", "gold_reward")}
    proxy, gold = smooth(series["reward"]), smooth(series["gold_reward"])
    best = int(np.argmax(gold))
    summary = {
        "proxy_start": proxy[0], "proxy_at_best": proxy[best], "proxy_end": proxy[-1],
        "gold_start": gold[0], "gold_best": gold[best], "gold_end": gold[-1],
        "best_step": series["step"][best], "kl_at_best": series["kl"][best], "kl_end": series["kl"][-1],
    }  # fmt: skip
    return {**series, "proxy_smooth": proxy, "gold_smooth": gold, "summary": summary}


def smooth(values: list[float]) -> list[float]:
    """Centred moving mean over a tenth of the run, narrower at both ends."""
    half = max(0, round(len(values) * _SMOOTH_SHARE / 2))
    return [float(np.mean(values[max(0, place - half) : place + half + 1])) for place in range(len(values))]


def _plot(curve: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    distance = np.sqrt(np.maximum(curve["kl"], 0))
    figure, left = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    right = left.twinx()
    lines = []
    for axis, colour, raw, smoothed, name in (
        (left, "tab:orange", "reward", "proxy_smooth", "reward model (proxy)"),
        (right, "tab:blue", "gold_reward", "gold_smooth", "verifiable reward (gold)"),
    ):
        axis.plot(distance, curve[raw], ".", color=colour, alpha=0.3)
        lines += axis.plot(distance, curve[smoothed], color=colour, label=name)
        axis.set_ylabel(name, color=colour)
    left.set_xlabel("√KL to the start model, nats per answer")
    left.set_title("Reward over-optimisation")
    left.legend(handles=lines, loc="upper center")
    figure.savefig(path, format="png", dpi=120)
    pyplot.close(figure)
