"""What answers on the port while the model loads: alive, and not ready yet.

The engine is loaded on the main thread and blocks it for seconds, so these answers come from a thread
of their own. It shares the listening socket, which the real server takes over without a gap.
"""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from common.processes import ServerError
from services.llm.errors import error_body

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host:port`. Raises ServerError when the address cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as exc:
        reason = exc.strerror or exc
        raise ServerError(f"{host}:{port}: {reason}; end what uses it or choose another --port") from exc
    return listener


class BootServer:
    """Answers `/health` 200 and everything else 503 on a listening socket until stopped."""

    def __init__(self, listener: socket.socket) -> None:
        self._server = ThreadingHTTPServer(("", 0), _Handler, bind_and_activate=False)
        self._server.socket.close()
        # A duplicate: closing it leaves the listening socket to the server that follows.
        self._server.socket = listener.dup()
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="boot-http", daemon=True
        )

    def __enter__(self) -> BootServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop accepting; connections made from now on wait for the next server on the socket."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    # Uvicorn's own answers carry no version either.
    server_version = "trivium"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health":
            self._answer(200, {"status": "ok"})
        elif path == "/ready":
            self._answer(503, {"status": "loading"})
        else:
            message = "the model is still loading; ask /ready"
            self._answer(503, error_body(503, message, code="model_loading"))

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_GET

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if status == 503:
            self.send_header("retry-after", "5")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Probes every 50 ms would bury the log."""
