"""Stages run once, continue after a failure, and run again when something they depend on changes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

from common.stages import Stage, StageError, run_stages

pytestmark = pytest.mark.unit


@pytest.fixture
def quiet() -> Console:
    return Console(quiet=True)


def appending(tmp_path: Path, name: str, inputs: tuple[Path, ...] = ()) -> Stage:
    """A stage that adds one letter to its output each time it runs."""
    output = tmp_path / name
    script = f"open({str(output)!r}, 'a').write('x')"
    return Stage(name, name, (sys.executable, "-c", script), outputs=(output,), inputs=inputs)


def runs(tmp_path: Path, *names: str) -> list[int]:
    return [len((tmp_path / name).read_text()) for name in names]


def test_a_finished_stage_is_not_run_again(tmp_path: Path, quiet: Console) -> None:
    stages = [appending(tmp_path, "a"), appending(tmp_path, "b")]
    for _ in range(2):
        run_stages(stages, tmp_path / "state.json", quiet)
    assert runs(tmp_path, "a", "b") == [1, 1]


def test_a_changed_input_runs_its_stage_and_all_that_follow(tmp_path: Path, quiet: Console) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("one")
    stages = [appending(tmp_path, "a"), appending(tmp_path, "b", inputs=(config,)), appending(tmp_path, "c")]
    run_stages(stages, tmp_path / "state.json", quiet)
    config.write_text("two")
    run_stages(stages, tmp_path / "state.json", quiet)
    assert runs(tmp_path, "a", "b", "c") == [1, 2, 2]


def test_a_lost_output_runs_its_stage_again(tmp_path: Path, quiet: Console) -> None:
    stages = [appending(tmp_path, "a")]
    run_stages(stages, tmp_path / "state.json", quiet)
    (tmp_path / "a").unlink()
    run_stages(stages, tmp_path / "state.json", quiet)
    assert runs(tmp_path, "a") == [1]


def test_a_failed_stage_is_named_and_the_next_start_continues_there(tmp_path: Path, quiet: Console) -> None:
    gate = tmp_path / "gate"
    script = f"import pathlib, sys; sys.exit(0 if pathlib.Path({str(gate)!r}).exists() else 3)"
    stages = [appending(tmp_path, "a"), Stage("b", "b", (sys.executable, "-c", script), outputs=())]
    with pytest.raises(StageError, match=r"stage 'b' ended with exit code 3.*finished stages are kept"):
        run_stages(stages, tmp_path / "state.json", quiet)
    gate.touch()
    state = run_stages(stages, tmp_path / "state.json", quiet)
    assert runs(tmp_path, "a") == [1]
    assert list(state.stages) == ["a", "b"]


def test_a_stage_without_its_output_is_an_error(tmp_path: Path, quiet: Console) -> None:
    stage = Stage("a", "a", (sys.executable, "-c", ""), outputs=(tmp_path / "never",))
    with pytest.raises(StageError, match=r"did not write .*never"):
        run_stages([stage], tmp_path / "state.json", quiet)


def test_a_broken_state_file_means_starting_over(tmp_path: Path, quiet: Console) -> None:
    (tmp_path / "state.json").write_text("{")
    run_stages([appending(tmp_path, "a")], tmp_path / "state.json", quiet)
    assert runs(tmp_path, "a") == [1]
