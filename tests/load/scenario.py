"""A scenario file: what is sent, when, how much of it, and what counts as good."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from common.config import StrictModel
from tests.load.errors import LoadError

MAX_RUN_SECONDS = 3600.0
MAX_RATE = 5000.0

Seconds = Annotated[float, Field(gt=0, le=MAX_RUN_SECONDS)]
Rate = Annotated[float, Field(gt=0, le=MAX_RATE)]


class Stage(StrictModel):
    """A stretch of time with one mean arrival rate."""

    rate: Rate
    """Requests per second."""
    seconds: Seconds


class Steady(StrictModel):
    """Arrivals at given rates: evenly spaced, or a Poisson process (exponential gaps, count not forced)."""

    process: Literal["constant", "poisson"]
    stages: list[Stage] = Field(min_length=1, max_length=50)

    @property
    def seconds(self) -> float:
        """Length without the warm-up."""
        return sum(stage.seconds for stage in self.stages)


class Burst(Steady):
    """A Poisson background with `size` requests at the same instant every `every_seconds`."""

    process: Literal["burst"]  # type: ignore[assignment]
    size: int = Field(gt=0, le=2000)
    every_seconds: Seconds


class Replay(StrictModel):
    """The arrival times of recorded request events (`trivium.request/v1`), with their sizes."""

    process: Literal["replay"]
    events: Path
    """JSONL of request events; beside the scenario file or absolute."""
    speed: float = Field(default=1.0, gt=0, le=1000)
    """2 plays the recording in half its time."""
    seconds: Seconds = 300.0
    """Arrivals after this time (after `speed`) are left out."""


Arrivals = Annotated[Steady | Burst | Replay, Field(discriminator="process")]


class InlineSlo(StrictModel):
    """Objectives of one request, and the share of all offered requests that has to meet them."""

    ttft_ms: float | None = Field(default=None, gt=0)
    tpot_ms: float | None = Field(default=None, gt=0)
    e2e_ms: float | None = Field(default=None, gt=0)
    goodput: float = Field(default=0.95, gt=0, le=1)

    @model_validator(mode="after")
    def _has_a_threshold(self) -> Self:
        if self.ttft_ms is None and self.tpot_ms is None and self.e2e_ms is None:
            raise ValueError("set at least one of ttft_ms, tpot_ms, e2e_ms")
        return self


class SloReference(StrictModel):
    """Objectives from an SLO file in the format of `observability/slo.yaml`."""

    file: Path
    road: str = "default"
    """Whose objectives; `--road` on the command line takes its place."""


class Limits(StrictModel):
    """Beyond these the run is not valid: it would measure the client, or mostly errors."""

    lateness_p99_ms: float = Field(default=50.0, gt=0)
    loop_lag_p99_ms: float = Field(default=50.0, gt=0)
    client_core_share: float = Field(default=0.8, gt=0, le=1)
    """Mean CPU of the busiest client process, of one core."""
    client_machine_share: float = Field(default=0.5, gt=0, le=1)
    """Mean CPU of all client processes on one machine, of all its cores."""
    error_share: float = Field(default=0.05, ge=0, le=1)
    """Failed and dropped requests of all offered."""


class Scenario(StrictModel):
    """One load test. Relative paths start at the scenario file's folder."""

    name: str = Field(min_length=1)
    endpoint: Literal["chat", "completions"] = "chat"
    inputs: Path = Path("prompts.txt")
    """A text file (a prompt a line), or JSONL with `input`, `prompt` or `messages`."""
    arrivals: Arrivals
    warmup_seconds: float = Field(default=5.0, ge=0, le=600)
    """Sent at the first stage's rate before it, and left out of every figure."""
    max_requests: int = Field(default=5000, gt=0, le=200_000)
    max_in_flight: int = Field(default=256, gt=0, le=900)
    """Arrivals beyond this many unfinished requests are dropped and counted as misses. Below the 1,024
    descriptors that select() can watch."""
    request_timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    max_tokens: int = Field(default=64, gt=0)
    temperature: float = Field(default=0.0, ge=0)
    stream: bool = True
    return_token_ids: bool = False
    """vLLM's extension; every server of this repository has it. Tokens are then counted and timed exactly:
    `usage` counts the end-of-sequence token too, whose chunk has no text, so that TPOT comes out 1/n low."""
    extra_body: dict[str, Any] = {}
    """Further fields of every request, for example {ignore_eos: true}."""
    seed: int = 0
    """Of the arrival times, of the order of the inputs, and (plus its number) of each request."""
    slo: InlineSlo | SloReference
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.stream and isinstance(self.slo, InlineSlo) and (self.slo.ttft_ms or self.slo.tpot_ms):
            raise ValueError("slo.ttft_ms and slo.tpot_ms need stream: true")
        if self.warmup_seconds + self.arrivals.seconds > MAX_RUN_SECONDS:
            raise ValueError(f"the run would take more than {MAX_RUN_SECONDS:.0f} s")
        return self

    def with_rate(self, rate: float, seconds: float) -> Scenario:
        """This scenario with a single stage. Raises LoadError for a replay, which has its own times."""
        if isinstance(self.arrivals, Replay):
            raise LoadError(f"scenario {self.name!r}: a replay has its own rate; use constant or poisson")
        arrivals = self.arrivals.model_copy(update={"stages": [Stage(rate=rate, seconds=seconds)]})
        return self.model_copy(update={"arrivals": arrivals})


def base_url(url: str, *, allow_remote: bool) -> str:
    """`url` without a trailing `/v1`. Raises LoadError where it is no URL or leaves this machine unasked."""
    parts = urlsplit(url)
    try:
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise LoadError(f"--url {url!r}: expected http://HOST:PORT")
    if not allow_remote and not _is_loopback(parts.hostname or ""):
        raise LoadError(f"--url {url!r} is not this machine; add --allow-remote if you may load that server")
    return url.rstrip("/").removesuffix("/v1")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
