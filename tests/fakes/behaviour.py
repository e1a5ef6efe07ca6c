"""How the fake backend answers: its settings, and what one request may change about them.

A request changes any field for itself through OpenAI's own `metadata` (strings only), so that it
passes through a gateway untouched: `{"metadata": {"fail": "die-mid-stream", "tokens": "3"}}`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

Failure = Literal["none", "error", "busy", "hang", "hang-mid-stream", "die-mid-stream", "crash"]
"""error: 500; busy: 503; hang: no byte ever; hang/die-mid-stream: after half of the tokens, silence or
a broken connection; crash: the whole process ends at once."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to answer."""

    tokens: int = 16
    """Completion tokens; a smaller `max_tokens` of the request wins."""
    delay_ms: float = 0.0
    """Before the first token (the whole answer, where it does not stream)."""
    chunk_delay_ms: float = 0.0
    """Between tokens; a request that does not stream waits for all of them."""
    chunk_bytes: int = 6
    """Length of a token's text; large ones fill socket buffers, for back-pressure tests."""
    fail: Failure = "none"

    def for_request(self, body: dict[str, Any]) -> Behaviour:
        """This behaviour with the request's `metadata` and `max_tokens` applied. Raises ValueError."""
        metadata = body.get("metadata") or {}
        changes: dict[str, Any] = {}
        for field in fields(self):
            if field.name in metadata:
                changes[field.name] = type(getattr(self, field.name))(metadata[field.name])
        behaviour = replace(self, **changes) if changes else self
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        if limit is not None and limit < behaviour.tokens:
            behaviour = replace(behaviour, tokens=int(limit))
        if behaviour.fail not in get_args(Failure):
            raise ValueError(f"metadata.fail: {behaviour.fail!r} is none of {', '.join(get_args(Failure))}")
        return behaviour

    @property
    def words(self) -> list[str]:
        """The answer, one string per token."""
        return [f" w{index}".ljust(self.chunk_bytes, "x") for index in range(self.tokens)]
