"""What the edge server counts, for Prometheus. Engine metrics carry vLLM's names where they mean the same."""

from __future__ import annotations

from itertools import pairwise

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from edge.generation import Generation
from observability.metrics import E2E_BUCKETS, QUEUE_BUCKETS, TPOT_BUCKETS, TTFT_BUCKETS

ITL_BUCKETS = (0.0002, 0.0005, *TPOT_BUCKETS)


class EdgeMetrics:
    """The scheduler's observer. Durations are seconds; `model_name` is the bundle's name."""

    def __init__(self, model: str) -> None:
        self.registry = CollectorRegistry()
        self._model = model
        self._running = self._gauge("vllm:num_requests_running", "Requests with a cache row.")
        self._waiting = self._gauge("vllm:num_requests_waiting", "Requests that wait for a cache row.")
        self._prompt = self._counter("vllm:prompt_tokens", "Prompt tokens read.")
        self._generated = self._counter("vllm:generation_tokens", "Tokens generated.")
        self._ttft = self._histogram("vllm:time_to_first_token_seconds", "Arrival to token 1.", TTFT_BUCKETS)
        self._itl = self._histogram("vllm:inter_token_latency_seconds", "Between tokens.", ITL_BUCKETS)
        self._queue = self._histogram("vllm:request_queue_time_seconds", "Wait for a row.", QUEUE_BUCKETS)
        self._e2e = self._histogram("vllm:e2e_request_latency_seconds", "Arrival to last token.", E2E_BUCKETS)
        self._finished = Counter(
            "vllm:request_success", "Requests that ended, by reason (cancelled: the client left).",
            ("model_name", "finished_reason"), registry=self.registry,
        )  # fmt: skip
        self.refused = Counter(
            "trivium_edge_refused", "Requests answered 429 because the queue was full.",
            ("model_name",), registry=self.registry,
        ).labels(model)  # fmt: skip

    def levels(self, running: int, waiting: int) -> None:
        """How many requests have a cache row, and how many wait for one."""
        self._running.set(running)
        self._waiting.set(waiting)

    def tokens(self, prompt: int, generated: int) -> None:
        """Tokens that the model has just read and made."""
        if prompt:
            self._prompt.inc(prompt)
        if generated:
            self._generated.inc(generated)

    def finished(self, generation: Generation) -> None:
        """A request has ended, for whatever reason."""
        times = generation.token_times
        if generation.started is not None:
            self._queue.observe(generation.started - generation.arrived)
        if times:
            self._ttft.observe(times[0] - generation.arrived)
            self._e2e.observe(times[-1] - generation.arrived)
        for earlier, later in pairwise(times):
            self._itl.observe(later - earlier)
        self._finished.labels(self._model, generation.finish_reason or "error").inc()

    def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ("model_name",), registry=self.registry).labels(self._model)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, ("model_name",), registry=self.registry).labels(self._model)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, ("model_name",), buckets=buckets, registry=self.registry).labels(
            self._model
        )
