"""Drives Locust as a library: one process, or a master with workers. Importing it patches the standard
library for gevent, so nothing but the command line does so."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from common.processes import free_port, require_free_port
from tests.load.errors import LoadError
from tests.load.plan import Plan
from tests.load.records import RequestRecord
from tests.load.users import LEAD_SECONDS, OpenAIStreamUser, RunState

# Ctrl-C is expected here; gevent would print a traceback line for it.
gevent.hub.Hub.NOT_ERROR = (*gevent.hub.Hub.NOT_ERROR, KeyboardInterrupt)

CONNECT_SECONDS = 30.0
GRACE_SECONDS = 15.0
SHARD_MESSAGE, RECORDS_MESSAGE, PROGRESS_MESSAGE = "trivium_shard", "trivium_records", "trivium_progress"

Progress = Callable[[list[RequestRecord], int], None]
"""Called about once a second with the records so far and the number in flight."""


@dataclass(slots=True)
class RunOutcome:
    """Everything a run leaves behind."""

    started_at: float
    """Wall clock of the schedule's zero, s since the epoch (workers differ by milliseconds)."""
    records: list[RequestRecord]
    clients: list[dict[str, Any]]
    """One per process: cpu_seconds, wall_seconds, lags, cores, host."""
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)


def run_local(plan: Plan, progress: Progress) -> RunOutcome:
    """Run the plan in this process. Ctrl-C ends it early; what was left counts as offered and unsent."""
    environment = Environment(user_classes=[OpenAIStreamUser], host=plan.url, catch_exceptions=False)
    state = environment.load = RunState(plan)
    runner: LocalRunner = environment.create_local_runner()
    started_at = time.time() + LEAD_SECONDS
    interrupted = False
    runner.start(1, spawn_rate=100)
    try:
        while not state.finished.wait(1.0):
            progress(state.records, state.in_flight)
            _check_user(runner)
    except KeyboardInterrupt:
        interrupted = True
    runner.quit()
    return RunOutcome(started_at, state.records, [state.client], interrupted)


def _check_user(runner: LocalRunner) -> None:
    if runner.exceptions:
        raise LoadError(f"the load client broke: {next(iter(runner.exceptions.values()))['msg']}")


def run_master(plan: Plan, progress: Progress, *, workers: int, remote: int, bind: str) -> RunOutcome:
    """Run the plan on `workers` processes started here and `remote` started by hand elsewhere.

    `bind` is HOST:PORT of Locust's master; port 0 takes a free one. Raises LoadError where a worker does not
    come, ends early, or does not report.
    """
    host, port = parse_address(bind)
    port = port or free_port(host)
    require_free_port(host, port)
    environment = Environment(user_classes=[OpenAIStreamUser], host=plan.url)
    master: MasterRunner = environment.create_master_runner(host, port)
    inbox = _Inbox(master)
    address = f"{'127.0.0.1' if host in ('0.0.0.0', '*') else host}:{port}"
    children = [_start_worker(address) for _ in range(workers)]
    try:
        _wait_for_workers(master, children, workers + remote, address)
        ready = sorted(client.id for client in master.clients.ready)
        for number, client_id in enumerate(ready):
            shard = plan.shard(number, len(ready)).to_message()
            master.send_message(SHARD_MESSAGE, shard, client_id=client_id)
        started_at = time.time() + LEAD_SECONDS
        master.start(len(ready), spawn_rate=100 * len(ready))
        last = plan.requests[-1].arrival.at
        deadline = time.monotonic() + last + plan.timeout_seconds + GRACE_SECONDS
        while len(inbox.outcomes) < len(ready):
            gevent.sleep(0.5)
            progress(inbox.partial, inbox.in_flight)
            if time.monotonic() > deadline or any(child.poll() for child in children):
                raise LoadError(f"only {len(inbox.outcomes)} of {len(ready)} workers reported to the end")
    finally:
        master.quit()
        _end(children)
    records = [record for outcome in inbox.outcomes.values() for record in outcome[0]]
    clients = [outcome[1] for outcome in inbox.outcomes.values()]
    return RunOutcome(started_at, records, clients)


def run_worker(master: str) -> None:
    """Serve one master: take a shard, run it, send the records back, end with the master.

    Raises LoadError where no master answers.
    """
    logging.getLogger("locust").setLevel(logging.ERROR)
    host, port = parse_address(master)
    environment = Environment(user_classes=[OpenAIStreamUser])
    try:
        runner: WorkerRunner = environment.create_worker_runner(host, port)
    except ConnectionError as exc:
        raise LoadError(f"no Locust master at {master}") from exc

    def take_shard(environment: Environment, msg: Any) -> None:
        environment.load = RunState(Plan.from_message(msg.data))
        gevent.spawn(_report, runner, environment.load)

    runner.register_message(SHARD_MESSAGE, take_shard)
    runner.greenlet.join()


def _report(runner: WorkerRunner, state: RunState) -> None:
    sent = 0
    while not state.finished.wait(1.0):
        rows = [record.to_dict() for record in state.records[sent:]]
        sent += len(rows)
        runner.send_message(PROGRESS_MESSAGE, {"rows": rows, "in_flight": state.in_flight})
    rows = [record.to_dict() for record in state.records]
    runner.send_message(RECORDS_MESSAGE, {"rows": rows, "client": state.client})


class _Inbox:
    """What the workers sent so far."""

    def __init__(self, master: MasterRunner) -> None:
        self.outcomes: dict[str, tuple[list[RequestRecord], dict[str, Any]]] = {}
        self.partial: list[RequestRecord] = []
        self._in_flight: dict[str, int] = {}
        master.register_message(RECORDS_MESSAGE, self._take_records)
        master.register_message(PROGRESS_MESSAGE, self._take_progress)

    @property
    def in_flight(self) -> int:
        return sum(self._in_flight.values())

    def _take_records(self, environment: Environment, msg: Any) -> None:
        rows = [RequestRecord.from_dict(row) for row in msg.data["rows"]]
        self.outcomes[msg.node_id] = (rows, msg.data["client"] | {"host": msg.node_id.rsplit("_", 1)[0]})

    def _take_progress(self, environment: Environment, msg: Any) -> None:
        self.partial += [RequestRecord.from_dict(row) for row in msg.data["rows"]]
        self._in_flight[msg.node_id] = msg.data["in_flight"]


def parse_address(address: str) -> tuple[str, int]:
    """HOST:PORT as a pair. Raises LoadError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise LoadError(f"{address!r}: expected HOST:PORT")
    return host, int(port)


def _start_worker(address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.load", "worker", "--master", address]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _wait_for_workers(
    master: MasterRunner, children: list[subprocess.Popen[bytes]], wanted: int, address: str
) -> None:
    deadline = time.monotonic() + (CONNECT_SECONDS if len(children) == wanted else 10 * CONNECT_SECONDS)
    while len(master.clients.ready) < wanted:
        if any(child.poll() is not None for child in children):
            raise LoadError("a worker ended before the run; start it by hand to see why")
        if time.monotonic() > deadline:
            raise LoadError(
                f"{len(master.clients.ready)} of {wanted} workers came; start the others with "
                f"`python -m tests.load worker --master {address}`"
            )
        gevent.sleep(0.1)


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
