"""Evaluate the trained model before it is bundled: metrics for the manifest, and the gate."""

from __future__ import annotations

import json

from common.files import atomic_write
from evaluation.report import ScoreReport, as_text
from tradeoffs import quality
from tradeoffs.config import DemoConfig
from tradeoffs.demo import data_folder


def evaluate(config: DemoConfig) -> None:
    """Answer the dev inputs with the model in process (fp32, greedy), score them, check the gate.

    Writes `evaluation/outputs.txt`, `metrics.json` and `gates.json` under the job's folder. Raises
    QualityError where the gate is missed, after the figures were written.
    """
    from evaluation.local import generate_local  # imports torch

    folder = config.folder / "evaluation"
    wanted = quality.References.read(data_folder(config.data) / "references-dev.jsonl", config.quality.inputs)
    outputs = generate_local(
        config.folder / "sft" / "model", wanted.inputs, max_tokens=config.quality.max_tokens
    )
    atomic_write(folder / "outputs.txt", "".join(f"{text}\n" for text in outputs))
    report = quality.scored(outputs, wanted, quality.BUNDLE_METRICS, config.quality.resamples)
    print(as_text(report))
    atomic_write(folder / "metrics.json", json.dumps(_for_manifest(report), indent=2))
    bleu = report.value("bleu")
    passed = bleu >= config.bundle.min_bleu
    detail = f"dev BLEU {bleu:.2f}, at least {config.bundle.min_bleu:.2f} asked, n = {report.n_inputs} inputs"
    atomic_write(
        folder / "gates.json", json.dumps([{"name": "bleu", "passed": passed, "detail": detail}], indent=2)
    )
    if not passed:
        raise quality.QualityError(
            f"the model missed its gate: {detail}; train longer (sft.set) or lower bundle.min_bleu"
        )


def _for_manifest(report: ScoreReport) -> list[dict[str, object]]:
    keys = ("metric", "value", "n", "ci_low", "ci_high", "unit")
    return [{**{key: getattr(m, key) for key in keys}, "split": "dev"} for m in report.metrics]
