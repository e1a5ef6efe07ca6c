"""Strict configuration: the error names the file, the key and the nearest known key."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.config import StrictModel
from common.errors import ConfigError

pytestmark = pytest.mark.unit


class Optimizer(StrictModel):
    learning_rate: float = 1e-3


class Job(StrictModel):
    name: str
    optimizer: Optimizer = Optimizer()
    stages: list[Optimizer] = []


def read(tmp_path: Path, text: str, overrides: list[str] | None = None) -> Job:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return Job.from_yaml(path, overrides)


def test_valid_file_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "name: a\noptimizer: {learning_rate: 0.5}").optimizer.learning_rate == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nam: a", r"unknown key 'nam'; did you mean 'name'\?"),
        (
            "name: a\noptimizer: {lerning_rate: 1}",
            r"unknown key 'optimizer.lerning_rate'; did you mean 'learning_rate'\?",
        ),
        ("name: a\nstages: [{learning_rat: 1}]", r"'stages.0.learning_rat'; did you mean 'learning_rate'\?"),
        ("name: a\nzzz: 1", r"unknown key 'zzz'; known keys: name, optimizer, stages"),
        ("name: a\noptimizer: {learning_rate: fast}", r"optimizer.learning_rate: .*number.*\(got 'fast'\)"),
        ("[1, 2]", "expected `key: value` lines, found a list"),
        ("a: [", "not valid YAML"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "job.yaml"))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        Job.from_yaml(tmp_path / "none.yaml")


def test_override_reaches_a_nested_key(tmp_path: Path) -> None:
    job = read(tmp_path, "name: a", ["optimizer.learning_rate=0.25", "name=b"])
    assert (job.name, job.optimizer.learning_rate) == ("b", 0.25)


@pytest.mark.parametrize("override", ["name", "=1", "name.sub=1"])
def test_bad_override_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match="override"):
        read(tmp_path, "name: a", [override])
