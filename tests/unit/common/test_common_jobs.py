"""Jobs of several stages: one at a time, and names for own data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import ConfigError
from common.jobs import BusyError, only_one, own_data

pytestmark = pytest.mark.unit

HOLD = "import sys; from pathlib import Path; from common.jobs import only_one\n"
HOLD += "with only_one(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def test_a_second_process_is_told_that_the_job_runs_and_a_killed_one_frees_it(tmp_path: Path) -> None:
    lock = tmp_path / "runs" / "lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=r"runs/lock: this job runs already"), only_one(lock):
            pass
        other.kill()
        other.wait()
        with only_one(lock):
            pass


@pytest.mark.parametrize(
    ("folder", "name"), [("My Reviews.2024", "my-reviews"), ("été", "t"), ("___", "own"), ("e2e", "e2e")]
)
def test_own_data_is_named_after_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    data = tmp_path / folder
    data.mkdir()
    found, override = own_data(data)
    assert found == name
    key, _, value = override.partition("=")
    assert key == "data.set"
    assert json.loads(value) == [f"name={name}", f"source={data}"]


def test_own_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        own_data(tmp_path / "missing")
