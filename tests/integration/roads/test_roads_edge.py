"""The edge road and `up` with a real server; the vLLM roads are tested in tests/integration/llm."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from bundle import Bundle
from roads import RoadSpec, open_road
from tests.integration.edge.edge_bundle import exported_bundle

pytestmark = pytest.mark.integration


def test_the_edge_road_serves_the_variant_and_ends(tmp_path: Path) -> None:
    tiny = exported_bundle()
    spec = RoadSpec("edge", "int4", tiny.public_key)
    with open_road(spec, tiny.path, log_dir=tmp_path) as road:
        ready = requests.get(f"{road.base_url}/ready", timeout=5).json()
        assert (ready["road"], ready["format"]) == ("edge", "int4")
        assert ready["bundle_digest"] == Bundle.open(tiny.path).digest
        assert 0 < road.rss_bytes() < 500_000_000
        assert road.simulated == ()
        assert 0 < road.artifact_bytes == Bundle.open(tiny.path).artifact_bytes("int4")
        address = road.base_url
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{address}/health", timeout=5)


def test_up_prints_a_call_that_works_and_stops_on_sigterm(tmp_path: Path) -> None:
    tiny = exported_bundle()
    command = [
        sys.executable, "-m", "roads", "up", "--road", "edge", "--format", "int4", "--bundle", str(tiny.path),
        "--public-key", str(tiny.public_key), "--log-dir", str(tmp_path),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    try:
        call = re.search(r"curl (\S+) -H '(.*?)' -d '(.*)'", lines[2])
        assert call is not None, lines
        header = dict([call[2].split(": ")])
        assert requests.post(call[1], call[3], headers=header, timeout=30).status_code == 200
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
    assert process.returncode == 130
    assert not [child for child in children if child.is_running()]


def test_a_server_that_fails_to_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    from common.processes import ServerError

    tiny = exported_bundle()
    wrong = tmp_path / "wrong.pub"
    wrong.write_text("no key")
    with (
        pytest.raises(ServerError, match=r"ended before it was ready; log .*edge\.log ends: .*wrong\.pub"),
        open_road(RoadSpec("edge", "int4", wrong), tiny.path, log_dir=tmp_path),
    ):
        pass
