"""From a finished run to its outcome: answer the dev inputs, score, write `outcome.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from common.files import atomic_write
from training.examples import ChatTokenizer
from training.layout import load_model
from training.outcome import Family, Outcome, OutcomeError
from training.quality import dev_set, figures_of, greedy_answers

ANSWERS = "answers-dev.jsonl"
"""Answers to the dev inputs, one `{"input", "output"}` a line, as `python -m evaluation score` reads them."""


@dataclass(frozen=True, slots=True)
class Technique:
    """A row of the comparison."""

    key: str
    """Short and unique in a suite, for example `lora`."""
    label: str
    family: Family


def technique_of(key: str, label: str | None, family: str) -> Technique:
    """A technique named by a person. Raises OutcomeError for an unknown family."""
    known = get_args(Family)
    if family not in known:
        raise OutcomeError(f"--family {family}: unknown family; known: {', '.join(known)}")
    return Technique(key, label or key, cast(Family, family))


def measure(
    run: Path,
    technique: Technique,
    answer: Callable[[Sequence[str]], list[str]] | None = None,
    *,
    adapter: Path | None = None,
    data: Path | None = None,
    inputs: int | None = None,
    details: dict[str, float | str] | None = None,
) -> Outcome:
    """Answer the first `inputs` dev inputs (by default all) of `data` (by default the set that the run learnt
    from), score the answers, write the outcome.

    `answer` takes inputs and gives one answer each; without it `run/model` answers greedily. Raises
    OutcomeError where the run did not finish.
    """
    result, identity = _records(run)
    learnt_from = Path(identity["data"])
    data, details = data or learnt_from, dict(details or {})
    if data != learnt_from:
        details["learnt from"] = str(learnt_from)
    wanted = dev_set(data, inputs)
    questions = wanted.inputs or []
    answers = (answer or whole_model(run / "model"))(questions)
    write_answers(run, questions, answers)
    model = run / "model" if (run / "model" / "model.safetensors").is_file() else None
    parameters = int(result["parameters"])
    outcome = Outcome(
        technique=technique.key, label=technique.label, family=technique.family, seed=identity["seed"],
        data=str(data), start=identity.get("start"), model=str(model) if model else None,
        adapter=str(adapter) if adapter else None, total_parameters=parameters,
        trainable_parameters=int(result.get("trainable_parameters", parameters)),
        train_seconds=result["wall_seconds"], peak_rss_bytes=result["peak_rss_bytes"],
        artifact_bytes=_size(adapter or run / "model"), tokens=result["tokens"],
        figures=figures_of(answers, wanted), details=details, command=result.get("command", "unknown"),
    )  # fmt: skip
    outcome.write(run)
    return outcome


def write_answers(run: Path, questions: Sequence[str], answers: Sequence[str]) -> None:
    """Keep the answers to dev inputs in the run folder, for tests in pairs with other techniques."""
    rows = zip(questions, answers, strict=True)
    atomic_write(
        run / ANSWERS,
        "".join(json.dumps({"input": i, "output": o}, ensure_ascii=False) + "\n" for i, o in rows),
    )


def whole_model(folder: Path) -> Callable[[Sequence[str]], list[str]]:
    """Greedy answers of the model in `folder` by our own module."""
    tokenizer = ChatTokenizer(folder)
    model = load_model(folder)
    return lambda questions: greedy_answers(model, tokenizer, questions)


def describe(outcome: Outcome) -> str:
    """The figures for people."""
    figures = ", ".join(
        f"{f.metric} {f.value:.4g}"
        + (f" [{f.ci_low:.4g}, {f.ci_high:.4g}]" if f.ci_low is not None and f.ci_high is not None else "")
        + f" (n = {f.n})"
        for f in outcome.figures
    )
    return (
        f"{outcome.label}: {figures}; {outcome.trainable_parameters:,} of {outcome.total_parameters:,} "
        f"parameters trained in {outcome.train_seconds:.0f} s"
    )


def _records(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        result = json.loads((run / "result.json").read_text(encoding="utf-8"))
        identity = json.loads((run / "config.json").read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, KeyError) as exc:
        raise OutcomeError(
            f"{run}: no finished training run (result.json, config.json: {exc}); give the folder of a job"
        ) from exc
    return result, identity


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
