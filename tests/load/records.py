"""What is kept of every offered request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

ERROR_KINDS = {
    "dropped": "the pool of unfinished requests was full at its moment; never sent",
    "unsent": "the run was broken off before it was sent or answered",
    "connect": "no connection to the server",
    "timeout": "not complete within request_timeout_seconds of the send",
    "http_<status>": "an answer with another status than 200",
    "stream_broken": "the connection ended in the middle of the answer",
    "stream_unfinished": "the answer ended without finish_reason or without [DONE]",
    "stream_error": "an error object inside the stream",
    "bad_answer": "not an OpenAI answer",
    "no_tokens": "finished without a single token",
}


@dataclass(slots=True)
class RequestRecord:
    """One offered request. Times are seconds after the start of the run; None: did not happen."""

    index: int
    intended_start: float
    stage: int
    warmup: bool
    sent_at: float | None = None
    first_token_at: float | None = None
    last_token_at: float | None = None
    finished_at: float | None = None
    chunk_times: list[float] = field(default_factory=list)
    output_tokens: int = 0
    token_source: str | None = None
    prompt_tokens: int | None = None
    status: int | None = None
    finish_reason: str | None = None
    error: str | None = "unsent"
    """A kind of ERROR_KINDS; None: the answer came whole."""
    detail: str | None = None
    good: bool | None = None
    """Met every objective; set after the run. A failed or dropped request is not good."""

    @property
    def ok(self) -> bool:
        """The answer came whole."""
        return self.error is None

    @property
    def ttft(self) -> float | None:
        """First token − actual send, s."""
        return _difference(self.first_token_at, self.sent_at)

    @property
    def ttft_intended(self) -> float | None:
        """First token − scheduled start, s."""
        return _difference(self.first_token_at, self.intended_start)

    @property
    def e2e(self) -> float | None:
        """Last byte − actual send, s."""
        return _difference(self.finished_at, self.sent_at)

    @property
    def e2e_intended(self) -> float | None:
        """Last byte − scheduled start, s."""
        return _difference(self.finished_at, self.intended_start)

    @property
    def tpot(self) -> float | None:
        """(Last token − first token) / (output tokens − 1), s; None below two tokens."""
        span = _difference(self.last_token_at, self.first_token_at)
        return None if span is None or self.output_tokens < 2 else span / (self.output_tokens - 1)

    @property
    def itl(self) -> list[float]:
        """The gaps between chunks that carry tokens, s."""
        return [
            later - earlier for earlier, later in zip(self.chunk_times, self.chunk_times[1:], strict=False)
        ]

    @property
    def lateness(self) -> float | None:
        """Actual send − scheduled start, s."""
        return _difference(self.sent_at, self.intended_start)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, times rounded to the microsecond."""
        return {key: _rounded(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RequestRecord:
        """The inverse of `to_dict`."""
        return cls(**values)


def _difference(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else later - earlier


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    return [round(item, 6) for item in value] if isinstance(value, list) else value
