"""Evaluation: metrics with intervals, generation through a road, perplexity, side-by-side samples.

Names load on first use, so that scoring imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evaluation.errors import EvaluationError
    from evaluation.local import generate_local
    from evaluation.report import MetricResult, ScoreReport
    from evaluation.scoring import METRICS, score

__all__ = ["METRICS", "EvaluationError", "MetricResult", "ScoreReport", "generate_local", "score"]

_HOME = {
    "EvaluationError": "errors",
    "METRICS": "scoring",
    "MetricResult": "report",
    "ScoreReport": "report",
    "generate_local": "local",
    "score": "scoring",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'evaluation' has no attribute {name!r}")
    return getattr(import_module(f"evaluation.{_HOME[name]}"), name)
