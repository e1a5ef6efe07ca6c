"""The gateway's settings: one YAML file, every key below, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, HttpUrl, model_validator

from common.config import StrictModel
from observability.logs import LogFormat, LogLevel

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]


class Timeouts(StrictModel):
    """How long to wait for a model server; each ends in a 504 (before the first byte) or a stream error."""

    connect_seconds: Seconds = 2.0
    first_token_seconds: Seconds = 60.0
    """Streams: from sending the request to the first chunk that carries a token."""
    between_chunks_seconds: Seconds = 30.0
    """Streams: between chunks. A client that does not read for as long is cut off."""
    total_seconds: Seconds = 120.0
    """Answers that do not stream: the whole."""


class BreakerConfig(StrictModel):
    """When to stop trying a model server."""

    failures: Count = 5
    """So many failures in a row (connection, timeout, 502, 504) open the breaker: 503 at once."""
    open_seconds: Seconds = 5.0
    """Then one request may probe; /ready turning good allows it earlier."""


class RouteConfig(StrictModel):
    """One model server. Several with the same model and road are replicas."""

    model: Name
    """The name under which clients ask for it."""
    road: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    url: HttpUrl
    """Where the server's `/v1` is found, without `/v1`."""
    upstream_model: str | None = None
    """The server's own name for the model; `model` where left out."""
    bundle_digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """Where given, a server whose /ready names another bundle gets no requests."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Share of the requests among replicas."""
    default: bool = False
    """The road for requests that name none; without any, the model's first route."""
    max_running: Count = 256
    """Requests at the server at once."""
    max_waiting: Annotated[int, Field(ge=0)] = 256
    """Requests that may wait for a slot; one more is a 429."""
    queue_seconds: Seconds = 5.0
    """Longest wait for a slot; then 503."""
    connect_retries: Annotated[int, Field(ge=0, le=10)] = 2
    """Further attempts, at another replica where there is one, and only where no connection was made."""
    ready_path: Annotated[str, Field(pattern=r"^/")] = "/ready"
    ready_every_seconds: Seconds = 1.0
    timeouts: Timeouts = Timeouts()
    breaker: BreakerConfig = BreakerConfig()


class Limits(StrictModel):
    """Bounds on what a client may do."""

    max_body_bytes: Count = 4 * 2**20
    body_seconds: Seconds = 30.0
    """For the whole request body to arrive."""
    max_answer_bytes: Count = 16 * 2**20
    """Answers that do not stream are held until complete, so that a broken one is a clean 502."""
    max_requests: Count = 4096
    """Requests in the gateway at once, over all routes, waiting or running; one more is a 503."""


class EventsConfig(StrictModel):
    """Where request events go."""

    path: Path | None = None
    """JSONL file; none are written where left out."""
    max_bytes: Count = 64 * 2**20
    keep: Annotated[int, Field(ge=0)] = 5
    """Rotated files that stay."""
    store_text: bool = False
    """Keep prompt and answer in the event, not only their hashes: the tenant must allow it."""


class GatewayConfig(StrictModel):
    """The whole file."""

    routes: Annotated[list[RouteConfig], Field(min_length=1)]
    limits: Limits = Limits()
    events: EventsConfig = EventsConfig()
    tenant: Name = "default"
    """Written into each event; one tenant until identities arrive."""
    keep_alive_seconds: Seconds = 4.0
    """Idle connections to model servers. Must stay below the servers' own limit (uvicorn: 5 s), or a
    request may meet a connection that is just being closed."""
    shutdown_seconds: Count = 30
    """After SIGTERM, for running requests to finish."""
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"

    @model_validator(mode="after")
    def _one_default_road(self) -> Self:
        for model in {route.model for route in self.routes}:
            roads = {route.road for route in self.routes if route.model == model and route.default}
            if len(roads) > 1:
                raise ValueError(
                    f"model {model!r} has more than one default road: {', '.join(sorted(roads))}"
                )
        return self
