"""Serving rates: what shares a measurement, what lands in the outcomes, when it is measured again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evaluation.local import load_local
from tests.fixtures.tiny_training import write_home
from training.adapters.files import merge, write_adapter
from training.adapters.methods import add_adapter
from training.adapters.settings import LoraMethod, Method, PromptMethod, PtuningMethod
from training.curriculum.records import read_records
from training.outcome import Family, Outcome, OutcomeError
from training.serving.job import measure_serving
from training.serving.plan import ServingError, plan_of
from training.serving.report import NAME, ServingReport
from training.serving.settings import ServingConfig

pytestmark = pytest.mark.unit

LOAD = ServingConfig(batch=2, new_tokens=3, rounds=2)


def write_outcome(home: Path, technique: str, family: Family, **values: Any) -> Path:
    folder = home / "runs" / technique
    Outcome(
        technique=technique, label=technique, family=family, seed=1, data=str(home / "data"),
        total_parameters=1, trainable_parameters=1, train_seconds=1.0, peak_rss_bytes=1, artifact_bytes=1,
        figures=[], command="test",
        **{"start": None, "model": None, **values},
    ).write(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole models of one shape, LoRA with its merged model, prompt and P-tuning, one without files."""
    home = write_home(tmp_path_factory.mktemp("serving"))
    base = home / "base"
    for technique in ("base", "full"):
        shutil.copytree(base, home / "runs" / technique / "model")
        write_outcome(home, technique, "fine-tuning", model=str(home / "runs" / technique / "model"))
    methods: dict[str, Method] = {
        "lora": LoraMethod(method="lora"), "prompt": PromptMethod(method="prompt", virtual_tokens=4),
        "ptuning": PtuningMethod(method="ptuning", virtual_tokens=4),
    }  # fmt: skip
    for technique, method in methods.items():
        run = home / "runs" / technique
        write_adapter(add_adapter(load_local(base).model, method, base), run / "adapter", base)
        if technique == "lora":
            merge(base, run / "adapter", run / "model")
        merged = str(run / "model") if technique == "lora" else None
        write_outcome(home, technique, "adapter", start=str(base), adapter=str(run / "adapter"), model=merged)
    write_outcome(home, "dpo", "alignment", model=str(home / "runs/dpo/model"))
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """A copy of its own; data and models stay where they are."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    return tmp_path


def measure(home: Path, config: ServingConfig = LOAD) -> ServingReport:
    return measure_serving(home / "runs", config, Console(quiet=True))


def test_the_same_work_is_one_group_and_missing_files_are_named(home: Path) -> None:
    plan = plan_of(read_records(home / "runs"))
    groups = sorted([target.name for target in group] for group in plan.groups.values())
    assert groups == [["base 1", "full 1", "lora 1 merged"], ["lora 1"], ["prompt 1", "ptuning 1"]]
    assert plan.refused.keys() == {"dpo 1"}
    assert "runs/dpo/model" in plan.refused["dpo 1"]


def test_every_outcome_gets_its_figure_and_adapters_both(home: Path) -> None:
    report = measure(home)
    served = {record.outcome.technique: record.outcome.serving for record in read_records(home / "runs")}
    assert served["dpo"] is None
    lora, base, full = served["lora"], served["base"], served["full"]
    assert lora
    assert base
    assert full == base
    assert lora.merged_tokens_per_second == pytest.approx(base.tokens_per_second)
    assert base.relative == 1.0
    assert base.merged_tokens_per_second is None
    assert "adapter, not merged" in lora.how
    assert {len(group.tokens_per_second.rounds) for group in report.groups} == {2}
    virtual = {group.measured_on: group.virtual_tokens for group in report.groups}
    assert virtual == {"base 1": 0, "lora 1": 0, "prompt 1": 4}


def test_it_is_measured_again_only_when_something_changed(home: Path) -> None:
    first = measure(home)
    assert measure(home) == first
    run = home / "runs/full"
    Outcome.read(run).model_copy(update={"serving": None}).write(run)  # as a new training leaves it
    second = measure(home)
    assert second.created >= first.created
    assert Outcome.read(run).serving is not None
    assert measure(home, LOAD.model_copy(update={"rounds": 1})).settings["rounds"] == 1


def test_a_figure_whose_model_is_gone_is_taken_back(home: Path) -> None:
    measure(home)
    run = home / "runs/lora"
    shutil.rmtree(run / "adapter")
    gone = Outcome.read(run).model_copy(update={"adapter": str(run / "adapter")})
    gone.write(run)
    assert "lora 1" in measure(home).not_measured
    assert Outcome.read(run).serving is None


def test_a_broken_model_is_refused_and_its_like_still_measured(home: Path) -> None:
    run = home / "runs/base"
    (run / "model/model.safetensors").write_bytes(b"broken")
    Outcome.read(run).model_copy(update={"model": str(run / "model")}).write(run)
    report = measure(home)
    assert "not a readable safetensors file" in report.not_measured["base 1"]
    assert Outcome.read(home / "runs/full").serving is not None


def test_an_answer_longer_than_the_context_names_the_setting(home: Path) -> None:
    with pytest.raises(ServingError, match=r"nothing can be served.*lower new_tokens"):
        measure(home, LOAD.model_copy(update={"new_tokens": 500}))
    assert not (home / "runs" / NAME).exists()


def test_runs_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutcomeError, match="no such folder"):
        measure(tmp_path)
    (tmp_path / "runs/lora").mkdir(parents=True)
    (tmp_path / "runs/lora/outcome.json").write_text("{")
    with pytest.raises(OutcomeError, match=r"lora/outcome\.json"):
        measure(tmp_path)
