"""Locust users for open-loop load: the arrivals are given, and each is its own greenlet.

A Locust user normally waits for its answer before the next request (closed loop), so that a slow server
gets less load. Here one user per process walks the schedule and spawns a greenlet per arrival.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gevent
from gevent.event import Event
from gevent.pool import Group
from locust import User, task
from locust.exception import StopUser

from tests.load.client import StreamClient
from tests.load.monitor import Clock, SelfMonitor
from tests.load.plan import Plan, PlannedRequest
from tests.load.records import RequestRecord

LEAD_SECONDS = 0.2
"""Between the start of the user and the start of the schedule, so that the first request is not late."""


class RunState:
    """What a run leaves behind in one process. Set as `environment.load` before the users start."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.records: list[RequestRecord] = []
        self.in_flight = 0
        self.client: dict[str, Any] = {}
        self.finished = Event()


class OpenLoopUser(User):  # type: ignore[misc]
    """Walks `environment.load.plan` by the clock; a subclass says in `handle` what an arrival does."""

    abstract = True
    fixed_count: ClassVar[int] = 0

    def on_start(self) -> None:
        """Take the plan; the schedule starts a moment later."""
        self.state: RunState = self.environment.load
        self._in_flight: Group[Any] = Group()

    def handle(self, request: PlannedRequest, record: RequestRecord, clock: Clock) -> None:
        """Do what the arrival asks for, and fill in `record`. Must not raise."""
        raise NotImplementedError

    @task  # type: ignore[untyped-decorator]
    def walk_schedule(self) -> None:
        """Spawn every request at its moment, wait for the last, end this user."""
        clock = Clock(zero=Clock().zero + LEAD_SECONDS)
        monitor = SelfMonitor()
        try:
            for request in self.state.plan.requests:
                self._wait_until(request.arrival.at, clock)
                self._offer(request, clock)
            self._in_flight.join()
        finally:
            self._break_off()
            self.state.client = monitor.stop()
            self.state.finished.set()
        raise StopUser

    @staticmethod
    def _wait_until(at: float, clock: Clock) -> None:
        gevent.sleep(0)  # behind schedule too, let the answers be read
        # gevent's timers start at the loop's cached time and may fire a little early.
        while (left := at - clock.now()) > 0:
            gevent.sleep(left)

    def _offer(self, request: PlannedRequest, clock: Clock) -> None:
        arrival = request.arrival
        record = RequestRecord(request.index, arrival.at, arrival.stage, arrival.warmup)
        self.state.records.append(record)
        if len(self._in_flight) >= self.state.plan.max_in_flight:
            record.error, record.detail = "dropped", f"{self.state.plan.max_in_flight} requests in flight"
            self._tell_locust(record)
            return
        self._in_flight.spawn(self._run_one, request, record, clock)
        self.state.in_flight = len(self._in_flight)

    def _run_one(self, request: PlannedRequest, record: RequestRecord, clock: Clock) -> None:
        self.handle(request, record, clock)
        self.state.in_flight = len(self._in_flight) - 1
        self._tell_locust(record)

    def _tell_locust(self, record: RequestRecord) -> None:
        """Locust's own statistics and listeners see every request too."""
        self.environment.events.request.fire(
            request_type="POST",
            name=self.state.plan.path,
            response_time=(record.e2e_intended or 0.0) * 1000,
            response_length=0,
            exception=None if record.ok else RuntimeError(record.error),
            context={},
        )

    def _break_off(self) -> None:
        """After an interrupt: what was not sent, or not yet answered, still counts as offered."""
        self._in_flight.kill()
        for request in self.state.plan.requests[len(self.state.records) :]:
            arrival = request.arrival
            self.state.records.append(RequestRecord(request.index, arrival.at, arrival.stage, arrival.warmup))


class OpenAIStreamUser(OpenLoopUser):
    """Each arrival is one chat or text completion, streamed."""

    def on_start(self) -> None:
        """Open the connection pool."""
        super().on_start()
        self._client = StreamClient(self.state.plan)

    def on_stop(self) -> None:
        """Close it."""
        self._client.close()

    def handle(self, request: PlannedRequest, record: RequestRecord, clock: Clock) -> None:
        """Send the planned body and time the answer."""
        self._client.send(request.body, record, clock)
