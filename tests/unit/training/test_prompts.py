"""Soft prompts for a task file: the budget in steps, the rows, and the table of all arms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigError
from evaluation.prompting.examples import read_pools
from evaluation.prompting.task import PromptTask
from evaluation.report import ComparisonResult, MetricResult
from tests.fixtures.tiny_training import pairs, write_data
from training.curriculum.advise import Advisor
from training.curriculum.aggregate import rows_of
from training.curriculum.figures import criteria
from training.curriculum.prices import PRICE_FILE, MachinePrice
from training.curriculum.records import read_records
from training.outcome import Figure, Outcome
from training.prompting.settings import PromptsConfig
from training.prompting.soft import method_of, settings_of, spent, steps_of, write_rows
from training.prompting.table import PromptsError, Row, read_answers, read_search, verdicts

pytestmark = pytest.mark.unit


def task(folder: Path, **changes: Any) -> PromptTask:
    values = {
        "name": "tiny", "data": str(folder), "budget": 10_000, "metrics": ["bleu"],
        "sizes": {"search": 8, "demonstrations": 4}, "candidates": {"demonstrations": [0, 1]},
    }  # fmt: skip
    return PromptTask.from_dict({**values, **changes}, "test")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data", pairs())


SMALL = ("batch.rows=4", "batch.row_tokens=96", "adapter.virtual_tokens=4")


@pytest.mark.parametrize(("method", "passed"), [("prompt", 4), ("ptuning", 4), ("prefix", 0)])
def test_steps_stay_within_the_budget_and_what_is_spent_counts_three(
    data: Path, tmp_path: Path, method: Any, passed: int
) -> None:
    wanted = task(data)
    settings = settings_of(wanted, method, tmp_path / "base", tmp_path / "run", SMALL)
    steps = steps_of(wanted, settings)
    cost = 3 * 4 * (96 + passed)
    assert steps * cost <= 10_000 < (steps + 1) * cost
    assert spent(settings, {"steps": steps, "tokens": steps * 4 * 96}) == steps * cost
    capped = settings_of(wanted, method, tmp_path / "base", tmp_path / "run", (*SMALL, "max_steps=2"))
    assert steps_of(wanted, capped) == 2


def test_a_budget_below_one_step_and_an_unknown_method_are_named(data: Path, tmp_path: Path) -> None:
    poor = task(data, budget=1000)
    settings = settings_of(poor, "prompt", tmp_path / "base", tmp_path / "run", SMALL)
    with pytest.raises(ConfigError, match=r"1,000 forward tokens do not allow one training step.* 1,200"):
        steps_of(poor, settings)
    with pytest.raises(ConfigError, match="lora: no soft prompt; known methods: prompt, prefix, ptuning"):
        method_of("lora")


def test_a_soft_prompt_trains_on_the_rows_of_the_search_and_on_no_held_out_one(
    data: Path, tmp_path: Path
) -> None:
    wanted = task(data)
    pools = read_pools(wanted)
    write_rows(wanted, pools, tmp_path / "rows")

    def questions(name: str) -> set[str]:
        lines = (tmp_path / "rows" / name).read_text().splitlines()
        return {json.loads(line)["messages"][0]["content"] for line in lines}

    assert questions("train.jsonl") == {example.content for example in pools.labelled}
    assert questions("dev.jsonl") == {example.content for example in pools.report}
    held = [
        json.loads(line) for line in (tmp_path / "rows" / "references-dev.jsonl").read_text().splitlines()
    ]
    assert [row["references"] for row in held] == [list(example.references) for example in pools.report]


def test_the_comparison_hands_its_overrides_to_both_kinds(tmp_path: Path) -> None:
    values = {
        "task": "t.yaml", "from": "base", "output": str(tmp_path), "data": "a b", "seed": 3,
        "set": ["budget=5"],
    }  # fmt: skip
    config = PromptsConfig.from_dict(values, "test")
    assert config.task_overrides == ["budget=5", 'data="a b"', "seed=3"]
    with pytest.raises(ConfigError, match="did you mean 'methods'"):
        PromptsConfig.from_dict({**values, "method": ["prompt"]}, "test")


def row(key: str, value: float, against: tuple[float, float, float] | None, **changes: Any) -> Row:
    metric = MetricResult(
        metric="bleu", label="BLEU", value=value, n=9, ci_low=value - 1, ci_high=value + 1, unit="points",
        description="", higher_is_better=True,
    )  # fmt: skip
    tests = []
    if against is not None:
        difference, low, high = against
        tests = [ComparisonResult(
            metric="bleu", label="BLEU", value=value, other=value - difference, difference=difference,
            ci_low=low, ci_high=high,
        )]  # fmt: skip
    values = {
        "key": key, "label": key, "words": "", "is_learnt": key.startswith("soft"), "metrics": [metric],
        "against_none": tests, "against_best": tests, "spent": 1, "seconds": 1.0, "prompt_tokens": 3.0,
        "artifact_bytes": 1,
    }  # fmt: skip
    return Row.model_validate({**values, **changes})


def test_verdicts_follow_from_the_intervals_of_the_differences() -> None:
    rows = [row("none", 50, None), row("best", 51, (1, -0.5, 2)), row("soft-prompt", 60, (9, 7, 11)),
            row("soft-prefix", 40, (-11, -12, -9))]  # fmt: skip
    said = [answer for _, answer in verdicts(rows, "bleu")]
    assert said == [
        "best cannot be told from no prompt: +1.00 BLEU [-0.50, +2.00]",
        "soft-prompt does better than the best written prompt: +9.00 BLEU [+7.00, +11.00]",
        "soft-prefix does worse than the best written prompt: -11.00 BLEU [-12.00, -9.00]",
    ]


def test_missing_and_foreign_answers_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(PromptsError, match=r"report\.json: no readable report"):
        read_search(tmp_path)
    path = tmp_path / "none.jsonl"
    path.write_text('{"input": "of another task", "output": "x"}\n')
    with pytest.raises(PromptsError, match="not the answers to this task's held-out inputs"):
        read_answers(path, read_pools(task(data)))


def test_the_curriculum_sets_the_soft_prompt_of_equal_budget_against_the_search(tmp_path: Path) -> None:
    values = {"prompt": 70, "soft-prompt": 60, "prompt-search": 50, "few-shot": 40}
    for key, bleu in values.items():
        figure = Figure(metric="bleu", value=bleu, n=9, ci_low=bleu - 1, ci_high=bleu + 1)
        Outcome(
            technique=key, label=key, family="adapter" if key == "prompt" else "prompting",
            seed=1, data="d", start=None, model=None,
            total_parameters=100, trainable_parameters=0, train_seconds=1.0, peak_rss_bytes=1,
            artifact_bytes=1, figures=[figure], command="",
        ).write(tmp_path / key)  # fmt: skip
    rows = rows_of(read_records(tmp_path))
    advisor = Advisor(rows, criteria(rows, MachinePrice.from_yaml(PRICE_FILE)), {})
    found = next(item for item in advisor.advice() if item.need == "Soft prompt or prompt engineering")
    assert found.answer == "soft-prompt"
    assert "prompt-search BLEU 50.0" in found.figure
