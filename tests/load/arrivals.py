"""When requests are due: a schedule that is drawn before the run and knows nothing of the server's speed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.load.errors import LoadError
from tests.load.scenario import Burst, Stage, Steady


@dataclass(frozen=True, slots=True)
class Arrival:
    """A moment at which a request is due."""

    at: float
    """Seconds after the start of the run."""
    stage: int
    """Index of the stage; the warm-up belongs to stage 0."""
    warmup: bool


def schedule(arrivals: Steady, *, warmup_seconds: float, seed: int, max_requests: int) -> list[Arrival]:
    """The arrivals in order of time, warm-up first.

    Raises LoadError when there would be more than `max_requests`, or none after the warm-up.
    """
    drawn: Iterator[Arrival] = itertools.chain.from_iterable(
        _stage_arrivals(arrivals, stage, number, start, warmup_seconds, random.Random(f"{seed}/{number}"))
        for number, (stage, start) in enumerate(_stage_starts(arrivals.stages, warmup_seconds))
    )
    planned = list(itertools.islice(drawn, max_requests + 1))
    if len(planned) > max_requests:
        raise LoadError(f"the schedule holds more than max_requests = {max_requests}; raise it or send less")
    if isinstance(arrivals, Burst):
        planned = sorted(planned, key=lambda arrival: arrival.at)
    if all(arrival.warmup for arrival in planned):
        raise LoadError("no request is due after the warm-up; raise the rate or the seconds")
    return planned


def _stage_starts(stages: list[Stage], warmup_seconds: float) -> Iterator[tuple[Stage, float]]:
    """Each stage with its start; the first is made longer by the warm-up."""
    first = stages[0].model_copy(update={"seconds": stages[0].seconds + warmup_seconds})
    start = 0.0
    for stage in (first, *stages[1:]):
        yield stage, start
        start += stage.seconds


def _stage_arrivals(
    arrivals: Steady, stage: Stage, number: int, start: float, warmup_seconds: float, rng: random.Random
) -> Iterator[Arrival]:
    times: Iterator[float]
    if arrivals.process == "constant":
        times = constant_times(stage.rate, stage.seconds)
    else:
        times = poisson_times(stage.rate, stage.seconds, rng)
    if isinstance(arrivals, Burst):
        times = itertools.chain(times, burst_times(arrivals.size, arrivals.every_seconds, stage.seconds))
    for time in times:
        at = start + time
        yield Arrival(at=at, stage=number, warmup=at < warmup_seconds)


def constant_times(rate: float, seconds: float) -> Iterator[float]:
    """0, 1/rate, 2/rate … below `seconds`."""
    return itertools.takewhile(lambda at: at < seconds, (index / rate for index in itertools.count()))


def poisson_times(rate: float, seconds: float, rng: random.Random) -> Iterator[float]:
    """A Poisson process: independent exponential gaps. Their number is random too, and is not rescaled."""
    gaps = (rng.expovariate(rate) for _ in itertools.count())
    return itertools.takewhile(lambda at: at < seconds, itertools.accumulate(gaps))


def burst_times(size: int, every_seconds: float, seconds: float) -> Iterator[float]:
    """`size` equal times at every_seconds, 2 × every_seconds … below `seconds`."""
    moments = itertools.takewhile(lambda at: at < seconds, itertools.count(every_seconds, every_seconds))
    return itertools.chain.from_iterable(itertools.repeat(at, size) for at in moments)
