"""When bytes arrive at the other end of a simulated network. Pure arithmetic; the clock is the caller's."""

from __future__ import annotations

import math
import random

from roads.config import NetworkProfile

MBIT = 1_000_000 / 8


class TokenBucket:
    """Bandwidth of one direction, shared by its connections: a token bucket in its virtual-scheduling form.

    (Generic cell rate algorithm, ITU-T I.371: equal to a bucket of `burst_bytes` that fills at the rate.)
    """

    def __init__(self, bytes_per_second: float | None, burst_bytes: int) -> None:
        self._rate = bytes_per_second
        self._burst_seconds = burst_bytes / bytes_per_second if bytes_per_second else 0.0
        self._busy_until = -math.inf

    def departure(self, now: float, size: int) -> float:
        """When the last of `size` bytes, offered at `now` seconds, is on the wire."""
        if self._rate is None:
            return now
        self._busy_until = max(self._busy_until, now) + size / self._rate
        return max(now, self._busy_until - self._burst_seconds)


class Link:
    """One direction of one connection: bandwidth, then delay with jitter, never out of order."""

    def __init__(
        self, profile: NetworkProfile, bucket: TokenBucket, rng: random.Random, opens_at: float
    ) -> None:
        """`opens_at`: nothing leaves before this time (the connection's handshake)."""
        self._delay = profile.rtt_ms / 2000
        # Two independent directions add up to the round trip's variance.
        self._deviation = profile.jitter_ms / 1000 / math.sqrt(2)
        self._bucket = bucket
        self._rng = rng
        self._opens_at = opens_at
        self._last_arrival = -math.inf

    def arrival(self, now: float, size: int) -> float:
        """When a chunk of `size` bytes, sent at `now` seconds, arrives; size 0 is the end of the stream."""
        departure = self._bucket.departure(max(now, self._opens_at), size)
        delay = max(0.0, self._rng.gauss(self._delay, self._deviation))
        self._last_arrival = max(self._last_arrival, departure + delay)
        return self._last_arrival


class Network:
    """A profile at work: the links of its connections."""

    def __init__(self, profile: NetworkProfile) -> None:
        self.profile = profile
        rate = profile.bandwidth_mbit_per_s
        bytes_per_second = rate * MBIT if rate is not None else None
        self._up = TokenBucket(bytes_per_second, profile.burst_kib * 1024)
        self._down = TokenBucket(bytes_per_second, profile.burst_kib * 1024)
        self._connections = 0

    def connect(self, now: float) -> tuple[Link, Link]:
        """The two directions (to the server, to the client) of a connection that a client opens at `now`."""
        number = self._connections
        self._connections += 1
        opens_at = now + self.profile.handshake_round_trips * self.profile.rtt_ms / 1000
        up_rng, down_rng = (random.Random(f"{self.profile.seed}/{number}/{way}") for way in ("up", "down"))
        return (
            Link(self.profile, self._up, up_rng, opens_at),
            Link(self.profile, self._down, down_rng, opens_at),
        )
