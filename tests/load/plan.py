"""The whole run as data, drawn before it starts: every request with its moment and its body."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.load.arrivals import Arrival, schedule
from tests.load.inputs import Messages, draw, read_inputs, read_recording, replay_arrivals
from tests.load.scenario import Replay, Scenario

PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One arrival and what it sends."""

    index: int
    arrival: Arrival
    body: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What one client process does; travels to workers as plain data."""

    url: str
    path: str
    headers: dict[str, str]
    stream: bool
    timeout_seconds: float
    max_in_flight: int
    requests: tuple[PlannedRequest, ...]
    distinct_inputs: int

    def shard(self, number: int, of: int) -> Plan:
        """Every `of`-th request, starting at `number`, with its part of the pool."""
        return Plan(
            self.url, self.path, self.headers, self.stream, self.timeout_seconds,
            max(1, self.max_in_flight // of), self.requests[number::of], self.distinct_inputs,
        )  # fmt: skip

    def to_message(self) -> dict[str, Any]:
        """Plain lists and dicts, for Locust's messages."""
        return asdict(self)

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Plan:
        """The inverse of `to_message`."""
        requests = tuple(
            PlannedRequest(row["index"], Arrival(**row["arrival"]), row["body"])
            for row in message["requests"]
        )
        return cls(**{**message, "requests": requests})


def make_plan(
    scenario: Scenario, folder: Path, *, url: str, model: str, headers: dict[str, str], inputs: Path | None
) -> Plan:
    """Draw the arrivals and the inputs of `scenario`, whose relative paths start at `folder`.

    `inputs` replaces the scenario's own. Raises LoadError for unusable files or an empty schedule.
    """
    conversations = read_inputs(inputs or folder / scenario.inputs)
    if isinstance(scenario.arrivals, Replay):
        recorded = read_recording(folder / scenario.arrivals.events, scenario.arrivals)
        arrivals = replay_arrivals(recorded, scenario.warmup_seconds, scenario.max_requests)
        drawn = draw(conversations, len(arrivals), scenario.seed)
        messages = [request.messages or spare for request, spare in zip(recorded, drawn, strict=True)]
        lengths = [request.max_tokens or scenario.max_tokens for request in recorded]
    else:
        arrivals = schedule(
            scenario.arrivals, warmup_seconds=scenario.warmup_seconds, seed=scenario.seed,
            max_requests=scenario.max_requests,
        )  # fmt: skip
        messages = draw(conversations, len(arrivals), scenario.seed)
        lengths = [scenario.max_tokens] * len(arrivals)
    requests = tuple(
        PlannedRequest(index, arrival, json.dumps(_body(scenario, model, turns, length, index)))
        for index, (arrival, turns, length) in enumerate(zip(arrivals, messages, lengths, strict=True))
    )
    distinct = len({json.dumps(turns) for turns in messages})
    return Plan(
        url, PATHS[scenario.endpoint], headers, scenario.stream, scenario.request_timeout_seconds,
        scenario.max_in_flight, requests, distinct,
    )  # fmt: skip


def _body(scenario: Scenario, model: str, messages: Messages, max_tokens: int, index: int) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "temperature": scenario.temperature}
    if scenario.endpoint == "chat":
        body["messages"] = messages
    else:
        body["prompt"] = "\n".join(message["content"] for message in messages)
    if scenario.temperature > 0:
        body["seed"] = scenario.seed + index
    if scenario.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if scenario.return_token_ids:
        body["return_token_ids"] = True
    return body | scenario.extra_body
