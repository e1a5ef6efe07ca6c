"""One streamed request over geventhttpclient, timed as the bytes arrive.

`readline` returns as soon as a line is there. The response's own iterator would wait for a full block,
which makes a stream of small chunks look like one late answer; hence no `iter_content` here.
"""

from __future__ import annotations

from gevent import Timeout
from geventhttpclient import HTTPClient
from geventhttpclient.client import HTTPSocketPoolResponse
from geventhttpclient.response import HTTPParseError

from tests.load.answer import Answer
from tests.load.monitor import Clock
from tests.load.plan import Plan
from tests.load.records import RequestRecord

MAX_ERROR_BODY = 2000


class StreamClient:
    """Sends planned requests to one server; its pool is as large as the plan's."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._http = HTTPClient.from_url(
            plan.url, concurrency=plan.max_in_flight, block_size=65536,
            connection_timeout=min(10.0, plan.timeout_seconds), network_timeout=plan.timeout_seconds,
        )  # fmt: skip
        self._path = self._http_prefix() + plan.path
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if plan.stream else "application/json",
            "Accept-Encoding": "identity",
            **plan.headers,
        }

    def send(self, body: str, record: RequestRecord, clock: Clock) -> None:
        """Send `body`, read the answer to its end, write times, counts and faults into `record`."""
        answer = Answer()
        record.sent_at = clock.now()
        try:
            with Timeout(self.plan.timeout_seconds):
                response = self._http.request("POST", self._path, body=body, headers=self._headers)
                with response:
                    record.status = response.status_code
                    self._read(response, answer, record, clock)
        except (Timeout, TimeoutError) as exc:
            _fail(record, "timeout", f"{type(exc).__name__} after {self.plan.timeout_seconds:g} s")
        except (OSError, HTTPParseError) as exc:
            _fail(record, "connect" if record.status is None else "stream_broken", str(exc))
        except ValueError as exc:
            _fail(record, "bad_answer", str(exc))
        finally:
            record.finished_at = clock.now()
            _take_over(answer, record)

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def _http_prefix(self) -> str:
        """The path inside the server's URL, for one that lives below a prefix."""
        return (
            "/" + self.plan.url.split("://", 1)[1].partition("/")[2] if self.plan.url.count("/") > 2 else ""
        )

    def _read(
        self, response: HTTPSocketPoolResponse, answer: Answer, record: RequestRecord, clock: Clock
    ) -> None:
        if record.status != 200:
            _fail(record, f"http_{record.status}", _text(response.read()))
            return
        if self.plan.stream:
            while line := response.readline(b"\n"):
                if line.startswith(b"data:"):
                    answer.feed(line[5:].strip(), clock.now())
        else:
            answer.feed_whole(response.read())
        if fault := answer.fault:
            _fail(record, *fault)
        else:
            record.error = None


def _take_over(answer: Answer, record: RequestRecord) -> None:
    record.chunk_times = answer.chunk_times
    record.first_token_at = answer.chunk_times[0] if answer.chunk_times else None
    record.last_token_at = answer.chunk_times[-1] if answer.chunk_times else None
    record.output_tokens, record.token_source = answer.tokens, answer.token_source
    record.prompt_tokens, record.finish_reason = answer.prompt_tokens, answer.finish_reason


def _fail(record: RequestRecord, kind: str, detail: str) -> None:
    record.error, record.detail = kind, " ".join(detail.split())[:300]


def _text(body: bytes) -> str:
    return body[:MAX_ERROR_BODY].decode(errors="replace")
