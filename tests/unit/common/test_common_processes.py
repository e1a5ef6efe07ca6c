"""Child servers are started, awaited and ended, with their descendants."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from common.processes import ServerError, ServerProcess, free_port, require_free_port

pytestmark = pytest.mark.unit

SLEEP = "import time; time.sleep(60)"


def http_server(tmp_path: Path, port: int) -> ServerProcess:
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    return ServerProcess(command, log=tmp_path / "log", ready_url=f"http://127.0.0.1:{port}/", cwd=tmp_path)


def test_server_becomes_ready_is_measured_and_ends(tmp_path: Path) -> None:
    with http_server(tmp_path, free_port()) as server:
        assert 0 < server.wait_ready(20) < 20
        assert server.rss_bytes() > 1_000_000
        pid = server.pid
    server.stop()
    assert not psutil.pid_exists(pid)


def test_server_that_ends_at_once_is_an_error_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no model there'); raise SystemExit(2)"]
    with (
        ServerProcess(command, log=tmp_path / "log", ready_url="http://127.0.0.1:9/") as server,
        pytest.raises(ServerError, match="no model there"),
    ):
        server.wait_ready(20)


def test_stop_ends_descendants_too(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time; "
        f"print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); time.sleep(60)"
    )
    server = ServerProcess(
        [sys.executable, "-c", script], log=tmp_path / "log", ready_url="http://127.0.0.1:9/"
    )
    server.start()
    while not (text := (tmp_path / "log").read_text().strip()):
        time.sleep(0.02)
    server.stop(grace_seconds=2)
    assert not psutil.pid_exists(int(text))


def test_server_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from common.processes import ServerProcess; "
        f"s = ServerProcess([sys.executable, '-c', {SLEEP!r}], log=Path(sys.argv[1]), ready_url=''); "
        "s.start(); print(s.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout
    child = psutil.Process(int(starter.stdout.readline()))
    time.sleep(0.3)
    starter.kill()
    starter.communicate()
    gone, _ = psutil.wait_procs([child], timeout=10)
    assert gone


def test_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"127.0.0.1:{port}: .*choose another --port"):
            require_free_port("127.0.0.1", port)
