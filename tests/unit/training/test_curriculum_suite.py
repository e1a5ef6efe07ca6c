"""The suite's settings and plan, and the documentation's commands against the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from common.errors import ConfigError
from common.stages import Stage
from training.__main__ import app
from training.curriculum.catalogue import CATALOGUE
from training.curriculum.plan import stages
from training.curriculum.run import own_data
from training.curriculum.suite import SuiteConfig

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "training/configs"


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def config(*overrides: str) -> SuiteConfig:
    return SuiteConfig.from_yaml(CONFIGS / "train-all.yaml", list(overrides))


def test_the_whole_suite_lists_every_technique_and_ends_with_the_page() -> None:
    listed = {entry.technique for entry in config().techniques}
    assert listed | {"base", "full"} == CATALOGUE.keys()
    assert stages(config())[-1].command[3:4] == ("compare",)


def test_headline_techniques_are_repeated_with_other_seeds_from_their_own_start() -> None:
    by_name = {stage.name: stage for stage in stages(config("seeds=3"))}
    assert {"full 3", "lora 3", "dpo 3"} <= by_name.keys()
    assert "prompt 2" not in by_name
    assert "runs/train-all/full/seed-3" in by_name["dpo 3"].command
    assert by_name["dpo 3"].after == ("data", "full 3", "pairs")


def option(stage: Stage, name: str) -> str:
    return stage.command[stage.command.index(name) + 1]


def test_tokenizer_and_base_model_come_from_the_base_data_and_all_are_measured_on_the_task() -> None:
    by_name = {stage.name: stage for stage in stages(config())}
    base = "data/curriculum-base-tasks"
    assert option(by_name["tokenizer"], "--data") == option(by_name["base 1"], "--data") == base
    for name in ("outcome of base 1", "full 1", "lora 1", "distil-none 1", "pairs"):
        assert option(by_name[name], "--data") == "data/curriculum"
        assert "data" in (by_name[name].after or ())


def test_without_base_data_the_base_learns_from_the_task_itself() -> None:
    by_name = {stage.name: stage for stage in stages(config("base_data=null"))}
    assert "base data" not in by_name
    assert option(by_name["base 1"], "--data") == "data/curriculum"


def test_own_data_is_kept_from_the_base_model(tmp_path: Path) -> None:
    suite = config(*own_data(tmp_path))
    assert suite.data.set[-1] == f"source={tmp_path}"
    assert suite.base_data
    assert not any("source" in word for word in suite.base_data.set)


def test_base_data_that_would_overwrite_the_task_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"both go to data/curriculum; give base_data another name"):
        config('base_data.set=["name=curriculum"]')


def test_an_unknown_technique_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown technique 'lorra'; did you mean 'lora'\? known: .*grpo"):
        config("techniques=[{technique: lorra}]")


def test_a_headline_that_is_not_run_is_refused() -> None:
    with pytest.raises(ConfigError, match="headline: dora not among the techniques"):
        config("techniques=[{technique: lora}]", "headline=[dora]")


@pytest.mark.parametrize("recipe", sorted({recipe.config for recipe in CATALOGUE.values()}))
def test_every_recipe_has_its_settings_file(recipe: str) -> None:
    assert (CONFIGS / f"{recipe}.yaml").is_file()


DOCUMENTED = sorted(
    set(re.findall(r"python -m training ([^`\n]+)", (ROOT / "docs/training.md").read_text()))
)  # fmt: skip


@pytest.mark.parametrize("words", DOCUMENTED)
def test_every_documented_command_and_option_exists(words: str) -> None:
    command: Any = typer.main.get_command(app)
    plain = [word for word in words.split() if not word.startswith("-")]
    while plain and hasattr(command, "commands") and plain[0] in command.commands:
        command = command.commands[plain.pop(0)]
    assert command.name != "root"
    assert command is not typer.main.get_command(app)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words.split() if word.startswith("--")} <= known


def test_every_documented_settings_file_exists() -> None:
    named = re.findall(r"`([a-z0-9-]+\.yaml)`", (ROOT / "docs/training.md").read_text())
    assert named
    assert all((CONFIGS / name).is_file() for name in named)
