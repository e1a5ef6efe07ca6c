"""What answers while the model loads, and the handover to the server."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from common.processes import ServerError
from services.llm.boot import BootServer, listen

pytestmark = pytest.mark.unit


def get(port: int, path: str, data: bytes | None = None) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=5) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


def test_alive_but_not_ready_while_loading() -> None:
    with listen("127.0.0.1", 0) as listener, BootServer(listener):
        port = listener.getsockname()[1]
        assert get(port, "/health") == (200, {"status": "ok"})
        assert get(port, "/ready") == (503, {"status": "loading"})
        status, content = get(port, "/v1/completions", b"{}")
        assert status == 503
        assert content["error"]["code"] == "model_loading"  # type: ignore[index]


def test_a_port_in_use_is_one_clear_line() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ServerError, match=rf"127.0.0.1:{port}: Address already in use; .*--port"):
            listen("127.0.0.1", port)


def test_an_unknown_host_is_one_clear_line() -> None:
    with pytest.raises(ServerError, match=r"no-such-host\.invalid"):
        listen("no-such-host.invalid", 1)


def test_connections_wait_for_the_server_that_takes_over() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with BootServer(listener):
            assert get(port, "/ready")[0] == 503
        early = socket.create_connection(("127.0.0.1", port), timeout=5)
        early.sendall(b"GET /late HTTP/1.0\r\n\r\n")
        server = HTTPServer(("", 0), _Late, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        worker = threading.Thread(target=server.handle_request)
        worker.start()
        assert early.makefile("rb").readline().startswith(b"HTTP/1.0 204")
        early.close()
        worker.join()


class _Late(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass
