"""The end of an alignment job: save the model, compare it with the start model, write result and outcome."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from common.files import atomic_write
from training import hardware
from training.alignment.assess import Assessment, assess
from training.alignment.config import JudgeConfig, RewardConfig
from training.alignment.runs import Job, parameter_count, write_result
from training.alignment.tasks import Start, TaskInput
from training.checkpoint import Progress
from training.layout import save_model
from training.measure import write_answers
from training.model import Llama
from training.outcome import Outcome

LABELS = {
    "dpo": "DPO", "ipo": "IPO", "kto": "KTO", "orpo": "ORPO",
    "ppo": "PPO", "rloo": "RLOO", "grpo": "GRPO",
}  # fmt: skip


def finish(
    job: Job,
    judging: JudgeConfig,
    start: Start,
    policy: Llama,
    weights: dict[str, Tensor],
    progress: Progress,
    facts: dict[str, Any],
    trained_on: RewardConfig | None,
    asked: Sequence[TaskInput],
) -> dict[str, Any]:
    """Write model/, examples.jsonl, answers-dev.jsonl, result.json and outcome.json; returns the result.

    `weights` are the policy's, in float32. It is judged on the inputs `asked`.
    """
    save_model(job.output / "model", weights, policy.config, start.tokenizer.folder, start.tokenizer.special)
    found = assess(policy, start, asked, judging, trained_on, job.settings.seed)
    write_answers(job.output, found.inputs, found.answers)
    lines = (json.dumps(example, ensure_ascii=False) + "\n" for example in found.examples)
    atomic_write(job.output / "examples.jsonl", "".join(lines))
    result = {**facts, "tokens": progress.tokens, "wall_seconds": progress.seconds, **found.report()}
    outcome_of(job, start, policy, progress, found, facts).write(job.output)
    result = write_result(job, result)
    say(job, result)
    return result


def outcome_of(
    job: Job, start: Start, policy: Llama, progress: Progress, found: Assessment, facts: dict[str, Any]
) -> Outcome:
    """The record that the comparison reads."""
    headline, folder = found.headline, job.output / "model"
    details: dict[str, float | str] = {
        "judge": found.judged_by, "decoding": found.decoding,
        "win_rate": headline.rate, "win_low": headline.low, "win_high": headline.high,
        "kl": found.kl.mean, "kl_low": found.kl.low, "kl_high": found.kl.high,
        "reward_start": found.reward_start.mean, "reward_end": found.reward_end.mean,
    }  # fmt: skip
    for kind, rates in (("greedy", found.greedy), ("sampled", found.sampled)):
        for name, rate in rates.items():
            details |= {f"win_{kind}_{name}": rate.rate, f"win_{kind}_{name}_low": rate.low}
    details |= {key: value for key, value in facts.items() if isinstance(value, str | float)}
    count = parameter_count(policy)
    return Outcome(
        technique=job.name, label=str(facts.get("label") or LABELS[job.name]), family="alignment",
        seed=job.settings.seed, data=str(job.settings.data), start=str(start.folder), model=str(folder),
        total_parameters=count, trainable_parameters=count, train_seconds=progress.seconds,
        peak_rss_bytes=hardware.peak_rss_bytes(), artifact_bytes=_bytes_of(folder), tokens=progress.tokens,
        figures=found.figures, details=details,
        command=shlex.join(["python", "-m", "training", *sys.argv[1:]]),
    )  # fmt: skip


def say(job: Job, result: dict[str, Any], *, again: bool = False) -> None:
    """The result for people."""
    rate = result[f"win_rates_{result['decoding']}"][result["judged_by"]]
    start, end = result["reward_start"]["mean"], result["reward_end"]["mean"]
    print(
        f"{'already done: ' if again else ''}{job.name}: win rate {rate['rate']:.1%} "
        f"[{rate['low']:.1%}, {rate['high']:.1%}] against the start model (judge {result['judged_by']}, "
        f"{result['decoding']} answers, "
        f"{rate['wins']} wins, {rate['ties']} ties, {rate['losses']} losses), KL {result['kl']['mean']:.2f} "
        f"nats per answer, reward {start:.3f} -> {end:.3f}, {result['wall_seconds']:.0f} s, "
        f"model in {job.output / 'model'}"
    )


def _bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
