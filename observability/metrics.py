"""Every Prometheus metric of Trivium: name, labels and buckets, written down once.

A server calls `Metrics(registry)` with a registry of its own, so that two servers (or two tests) in one
process do not meet. Durations are seconds. Every threshold of slo.yaml must be a bucket bound here
(a test holds it), because a quantile between two bounds is a guess.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

TTFT_BUCKETS = (
    0.001,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.15,
    0.2,
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    5.0,
    10.0,
    30.0,
)
TPOT_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.015,
    0.02,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    1.0,
    2.5,
)
E2E_BUCKETS = (
    0.005,
    0.01,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    1.5,
    2.0,
    2.5,
    5.0,
    10.0,
    20.0,
    30.0,
    60.0,
    120.0,
    300.0,
)
QUEUE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

BREAKER_STATES = ("closed", "half_open", "open")
"""Value of `trivium_breaker_state`: the index in this tuple."""


class Metrics:
    """The metrics of one server, registered with `registry`.

    `model` and `road` take configured names only ("unknown" otherwise), so that a client cannot make
    series; `endpoint` is the OpenAI path without `/v1/`; `status` is the HTTP status of the answer.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        route = ("model", "road")
        self.requests = Counter(
            "trivium_requests", "Requests answered.", (*route, "endpoint", "status"), registry=registry
        )
        self.running = Gauge(
            "trivium_requests_running", "Requests being worked on now.", route, registry=registry
        )
        self.waiting = Gauge(
            "trivium_requests_waiting", "Requests waiting for a slot now.", route, registry=registry
        )
        self.queue = Histogram(
            "trivium_queue_seconds", "Wait for a slot.", route, buckets=QUEUE_BUCKETS, registry=registry
        )
        self.ttft = Histogram(
            "trivium_time_to_first_token_seconds", "Arrival until the first token left; streams only.",
            route, buckets=TTFT_BUCKETS, registry=registry,
        )  # fmt: skip
        self.tpot = Histogram(
            "trivium_time_per_output_token_seconds", "(last token - first) / (tokens - 1); streams only.",
            route, buckets=TPOT_BUCKETS, registry=registry,
        )  # fmt: skip
        self.e2e = Histogram(
            "trivium_request_duration_seconds", "Arrival until the last byte left.",
            route, buckets=E2E_BUCKETS, registry=registry,
        )  # fmt: skip
        self.prompt_tokens = Counter("trivium_prompt_tokens", "Prompt tokens.", route, registry=registry)
        self.completion_tokens = Counter(
            "trivium_completion_tokens", "Completion tokens.", route, registry=registry
        )
        self.disconnects = Counter(
            "trivium_client_disconnects", "Clients that left before the end.", route, registry=registry
        )
        self.upstream_errors = Counter(
            "trivium_upstream_errors", "Failed attempts at a model server, by cause.",
            (*route, "cause"), registry=registry,
        )  # fmt: skip
        self.ready = Gauge(
            "trivium_route_ready", "1: the model server is ready.", (*route, "url"), registry=registry
        )
        self.breaker = Gauge(
            "trivium_breaker_state", "0 closed, 1 half open, 2 open.", (*route, "url"), registry=registry
        )
        self.events_dropped = Counter(
            "trivium_events_dropped", "Request events that were not written.", registry=registry
        )
