"""Which roads there are, how each is started or reached, and the networks that may lie before them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from common.config import StrictModel

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "roads.yaml"

Port = Annotated[int, Field(ge=0, le=65535)]


class NetworkProfile(StrictModel):
    """A simulated network between client and server."""

    description: str
    rtt_ms: NonNegativeFloat
    """Round-trip time without load; each direction takes half of it."""
    jitter_ms: NonNegativeFloat = 0.0
    """Standard deviation of the round-trip time (normal, cut off at no delay at all)."""
    bandwidth_mbit_per_s: PositiveFloat | None = None
    """Of each direction, shared by all connections; null: unlimited."""
    burst_kib: PositiveInt = 32
    """What may pass at once after silence (depth of the token bucket)."""
    handshake_round_trips: NonNegativeInt = 2
    """Round trips before the first byte of a connection: 1 for TCP, 1 for TLS 1.3."""
    buffer_kib: PositiveInt = 4096
    """Bytes on their way per connection and direction; more wait at the sender (back-pressure)."""
    seed: int = 0
    """Of the jitter: connection n of every run meets the same delays."""


class RoadConfig(StrictModel):
    """One road."""

    kind: Literal["process", "url"] = "process"
    """`process`: start a server here; `url`: attach to one that runs elsewhere (a cluster)."""
    server: Literal["llm", "edge"] = "llm"
    engine: Literal["ray", "vllm"] = "ray"
    """Of `server: llm`."""
    url: str | None = None
    """Of `kind: url`: the endpoint without `/v1`."""
    host: str = "127.0.0.1"
    port: Port = 0
    """0: any free port."""
    python: Path | None = None
    """Of the server; null: this one, and for the edge `.venv-edge/bin/python` where it is there."""
    config: Path | None = None
    """Settings file of `server: llm`; null: its default (`services/llm/configs/cpu.yaml`)."""
    threads: NonNegativeInt = 0
    """CPU threads of the model; 0: the server's own choice."""
    default_format: str = "fp32"
    start_timeout_seconds: PositiveFloat = 240.0
    network: str | None = None
    """Name of a profile under `networks` to put before the server."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "url" and self.url is None:
            raise ValueError("kind: url needs url")
        if self.kind == "process" and self.url is not None:
            raise ValueError("url is for kind: url")
        if self.kind == "url" and self.network is not None:
            raise ValueError("a simulated network goes before servers started here, not before a url")
        return self


class RoadsConfig(StrictModel):
    """The file `configs/roads.yaml`."""

    roads: dict[str, RoadConfig]
    networks: dict[str, NetworkProfile] = {}

    @model_validator(mode="after")
    def _known_networks(self) -> Self:
        for name, road in self.roads.items():
            if road.network is not None and road.network not in self.networks:
                known = ", ".join(sorted(self.networks)) or "none"
                raise ValueError(f"roads.{name}.network: no profile {road.network!r}; known: {known}")
        return self
