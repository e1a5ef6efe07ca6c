"""Invented outcomes of a whole suite in the shape of real ones, for tests and for work on the page.

python -m tests.fakes.outcomes /tmp/suite
python -m training compare --runs /tmp/suite/runs --output /tmp/suite/report
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

from training.outcome import Family, Figure, Outcome, Serving

_NAMES = ("Copper Heron", "Saltmarsh", "Blue Kettle", "Old Ferry", "Tin Roof", "Green Lantern")
_FOODS = ("French", "Indian", "Italian", "English")
_AREAS = ("riverside", "city centre")

TOTAL = 3_700_000
# technique, label, family, start, BLEU, slot errors %, trainable, seconds, memory GB, artifact MB
TABLE: tuple[tuple[str, str, Family, str | None, float, float, int, float, float, float], ...] = (
    ("base", "Pretrained only", "baseline", None, 6.2, 71.0, TOTAL, 96, 1.1, 14.8),
    ("full", "Full fine-tuning", "fine-tuning", "base", 64.1, 2.1, TOTAL, 141, 1.3, 14.8),
    ("lora", "LoRA r = 16", "adapter", "base", 63.4, 2.4, 199_000, 188, 1.5, 0.82),
    ("dora", "DoRA r = 16", "adapter", "base", 63.6, 2.3, 208_000, 231, 1.6, 0.86),
    ("ia3", "IA3", "adapter", "base", 54.2, 6.3, 4_900, 149, 1.4, 0.03),
    ("prefix", "Prefix tuning, 16 tokens", "adapter", "base", 52.8, 7.7, 32_800, 171, 1.4, 0.14),
    ("prompt", "Prompt tuning, 16 tokens", "adapter", "base", 31.6, 24.8, 4_100, 163, 1.4, 0.02),
    ("ptuning", "P-tuning, 16 tokens", "adapter", "base", 36.3, 20.1, 201_000, 170, 1.4, 0.02),
    ("distil-none", "Student without teacher", "distillation", None, 58.9, 5.2, 1_050_000, 61, 0.9, 4.2),
    ("distil-logits", "Distilled, logits", "distillation", None, 61.7, 3.4, 1_050_000, 92, 1.3, 4.2),
    ("distil-sequence", "Distilled, answers", "distillation", None, 60.4, 3.9, 1_050_000, 78, 1.3, 4.2),
    ("dpo", "DPO", "alignment", "full", 65.2, 1.2, TOTAL, 74, 1.7, 14.8),
    ("orpo", "ORPO", "alignment", "full", 64.6, 1.6, TOTAL, 70, 1.6, 14.8),
    ("ppo", "PPO", "alignment", "full", 64.3, 1.9, TOTAL, 164, 2.1, 14.8),
    ("grpo", "GRPO", "alignment", "full", 66.0, 0.8, TOTAL, 152, 1.8, 14.8),
)  # fmt: skip
WIN = {"dpo": 0.571, "orpo": 0.532, "ppo": 0.514, "grpo": 0.604}
INPUTS = 40


def write_suite(folder: Path, seeds: dict[str, int] | None = None, answers: bool = True) -> Path:
    """Invented data and outcomes in `folder`; `seeds`: technique to how many (1); returns the runs folder."""
    data = _write_data(folder / "data")
    for entry in TABLE:
        for seed in range(1, (seeds or {}).get(entry[0], 1) + 1):
            run = folder / "runs" / entry[0] / f"seed-{seed}"
            run.mkdir(parents=True)
            outcome_of(folder, data, entry, seed).write(run)
            if answers:
                _write_answers(data, run, entry[5], f"{entry[0]}-{seed}")
    return folder / "runs"


def outcome_of(folder: Path, data: Path, entry: Any, seed: int = 1) -> Outcome:
    """One row of TABLE as an outcome; seeds differ a little."""
    key, label, family, start, bleu, ser, trainable, seconds, memory, artifact = entry
    shift = random.Random(f"{key}{seed}").uniform(-0.6, 0.6) if seed > 1 else 0.0
    details: dict[str, float | str] = {}
    if key in WIN:
        details = {
            "win_rate": WIN[key], "win_low": WIN[key] - 0.04, "win_high": WIN[key] + 0.04, "judge": "chrf",
            "kl": 1.8, "reward_start": 1.41, "reward_end": 1.52,
        }  # fmt: skip
    if key in ("distil-logits", "distil-sequence"):
        details = {"teacher": str(folder / "runs" / "full" / f"seed-{seed}")}
    model = str(folder / "runs" / key / f"seed-{seed}" / "model") if family != "adapter" else None
    return Outcome(
        technique=key, label=label, family=family, seed=seed, data=str(data),
        start=str(folder / "runs" / start / "seed-1" / "model") if start else None, model=model,
        total_parameters=1_050_000 if "distil" in key else TOTAL + (trainable if family == "adapter" else 0),
        trainable_parameters=trainable, train_seconds=float(seconds), peak_rss_bytes=int(memory * 1e9),
        artifact_bytes=int(artifact * 1e6), tokens=600_000,
        figures=[
            _figure("bleu", bleu + shift, 1.3, "points"), _figure("chrf", 0.55 * bleu + 32, 0.7, "points"),
            _figure("ser", max(0.0, ser - shift / 4), 0.1 + ser / 9, "%", higher=False),
        ],
        serving=Serving(tokens_per_second=410.0, how="invented") if key in ("full", "dpo") else None,
        details=details, command=f"python -m training adapt --method {key} --set seed={seed}",
    )  # fmt: skip


def _figure(metric: str, value: float, half: float, unit: str, *, higher: bool = True) -> Figure:
    return Figure(
        metric=metric, value=value, n=INPUTS, ci_low=max(0.0, value - half), ci_high=value + half, unit=unit,
        higher_is_better=higher,
    )  # fmt: skip


def _write_data(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rng = random.Random(1)
    rows: dict[str, list[str]] = {}
    while len(rows) < INPUTS:
        name, food, area = rng.choice(_NAMES), rng.choice(_FOODS), rng.choice(_AREAS)
        price = rng.choice(("cheap", "moderate", "high"))
        text = f"name[{name}], food[{food}], priceRange[{price}], area[{area}]"
        rows[text] = [
            f"{name} serves {food} food at {price} prices in the {area}.",
            f"In the {area}, {name} offers {price} {food} food.",
        ]
    lines = [
        json.dumps({"id": f"d{i}", "input": t, "references": r}) for i, (t, r) in enumerate(rows.items())
    ]
    (folder / "references-dev.jsonl").write_text("\n".join(lines) + "\n")
    card = {
        "name": "invented", "source": "made in a test", "licence": "CC0-1.0", "digest": "sha256:0", "seed": 1,
        "rows": {"train": 1000, "dev": INPUTS},
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def _write_answers(data: Path, run: Path, error_share: float, seed: str) -> None:
    """The first reference, in which words are lost as often as the technique errs."""
    rng = random.Random(seed)
    lines = []
    for line in (data / "references-dev.jsonl").read_text().splitlines():
        row = json.loads(line)
        words = row["references"][0].split()
        kept = [word for word in words if rng.random() > error_share / 100]
        lines.append(json.dumps({"input": row["input"], "output": " ".join(kept)}))
    (run / "answers-dev.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    print(write_suite(Path(sys.argv[1]), {"full": 3, "lora": 3, "dpo": 3}))
