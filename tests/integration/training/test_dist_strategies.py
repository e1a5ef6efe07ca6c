"""Two processes take the steps of one, by every synchronous strategy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.gloo_ranks import RUNS, STEPS
from tests.fixtures.tiny_training import pairs, write_data, write_tokenizer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
Steps = dict[str, list[list[float]]]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Steps:
    folder = tmp_path_factory.mktemp("strategies")
    tokenizer = write_tokenizer(write_data(folder / "data", pairs()), folder / "tokenizer")
    command = [sys.executable, "-m", "tests.fixtures.gloo_ranks", str(folder / "data"), str(tokenizer)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", [name for name in RUNS if name != "alone"])
def test_the_loss_curve_is_that_of_one_worker(steps: Steps, name: str) -> None:
    """Also after the whole state was saved and loaded again half-way."""
    assert len(steps[name]) == STEPS
    assert steps["alone"][-1][0] < 0.7 * steps["alone"][0][0]
    for ours, theirs in zip(steps[name], steps["alone"], strict=True):
        # Sums in another order differ in the last bits.
        assert ours == pytest.approx(theirs, rel=2e-4)
