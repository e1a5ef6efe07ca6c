"""The Ray cluster that a job runs on: the one of RAY_ADDRESS, or a private one that ends with the job."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Literal

import psutil

from common.processes import default_environment
from training.distributed.config import DistributedError

OBJECT_STORE_BYTES = 256 * 2**20
_START_ATTEMPTS = 3
WORKER_BYTES = 450 * 2**20
"""What Python, torch and Ray take in a worker's process before it has a model."""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # A lost worker is noticed by asking: every two seconds by default, which is long beside short steps.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    # Ray makes workers 15 steps nicer than itself: beside any other program they would starve.
    "RAY_worker_niceness": "0",
    # A machine that is busy with other work starts Ray slowly.
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
    # Processes that a private cluster has no use for: workers started before anyone asks for them, the
    # watcher of nodes that a cloud takes back, the figures for a dashboard.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


@contextmanager
def cluster(workers: int) -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start a private one with `workers` logical CPUs.

    Inside another `cluster` it is that one again. Raises DistributedError where Ray does not start or has too
    few CPUs. Nothing is pinned or limited by logical CPUs: four workers on two cores share the two cores.
    """
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        _require_memory(workers)
    with ExitStack() as stack:
        stack.enter_context(default_environment(_ENVIRONMENT))
        import ray

        if not ray.is_initialized():
            stack.enter_context(_own_signals())
            if address:
                stack.callback(ray.shutdown)
                _connect(address)
            else:
                folder = stack.enter_context(_folder())
                stack.callback(_end, folder)
                _start(workers, folder)
            if _in_main_thread():
                signal.signal(signal.SIGTERM, _leave)
        _require_cpus(workers)
        yield


def device_kind(gpus: Literal["auto", "never"], workers: int) -> Literal["cuda", "cpu"]:
    """Where the workers compute: on GPUs only where each can have one."""
    import ray

    return "cuda" if gpus == "auto" and ray.cluster_resources().get("GPU", 0) >= workers else "cpu"


def _connect(address: str) -> None:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as exc:  # anything from ConnectionError to bare Exception
        raise DistributedError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({_one_line(exc)}); start one with "
            "`ray start --head`, or unset RAY_ADDRESS for a private one"
        ) from exc


def _start(workers: int, folder: str) -> None:
    import ray

    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            ray.init(
                address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False,
                logging_level="ERROR", object_store_memory=OBJECT_STORE_BYTES, _temp_dir=folder,
                _node_ip_address="127.0.0.1",
            )  # fmt: skip
            return
        except OSError as exc:  # a folder or a port
            raise _not_started(exc) from exc
        except Exception as exc:
            # Ray's node ends by itself when its agents take 15 seconds to start, which busy machines need.
            if attempt == _START_ATTEMPTS:
                raise _not_started(exc) from exc
            print("Ray did not start in time; trying again", file=sys.stderr)
            _end(folder)


def _not_started(exc: Exception) -> DistributedError:
    return DistributedError(
        f"Ray does not start ({_one_line(exc)}); it needs a writable TMPDIR with a short path, some "
        f"{OBJECT_STORE_BYTES / 2**20:.0f} MiB of /dev/shm, ports of 127.0.0.1, and CPUs with "
        "time to spare"
    )


def _end(folder: str) -> None:
    """Shut Ray down; what outlives its cluster, as workers and agents of a lost node do, is killed."""
    import ray

    ray.shutdown()
    _, alive = psutil.wait_procs(_users_of(folder), timeout=3)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=3)


def _users_of(folder: str) -> list[psutil.Process]:
    """Other processes with a file open in this folder, as all of Ray's have their logs."""
    found, place = [], os.path.realpath(folder)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            mine = process.pid == os.getpid()
            if not mine and any(each.path.startswith(place) for each in process.open_files()):
                found.append(process)
    return found


def _leave(number: int, _frame: object) -> None:
    """Ray's own answer to SIGTERM leaves its folder and sometimes its processes behind."""
    raise SystemExit(128 + number)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray replaces the handlers of signals; put them back afterwards."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if _in_main_thread():
                signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _folder() -> tempfile.TemporaryDirectory[str]:
    """For Ray's logs and sockets, whose paths must stay below 108 characters."""
    try:
        return tempfile.TemporaryDirectory(prefix="trivium-ray-", ignore_cleanup_errors=True)
    except OSError as exc:
        raise DistributedError(
            f"no folder for Ray's sockets and logs ({exc}); set TMPDIR to a writable folder"
        ) from exc


def _require_memory(workers: int) -> None:
    free = psutil.virtual_memory().available
    if workers * WORKER_BYTES > free:
        raise DistributedError(
            f"{workers} workers take at least {workers * WORKER_BYTES / 1e9:.1f} GB, {free / 1e9:.1f} GB are "
            "free here; ask for fewer with --set workers=…, or set RAY_ADDRESS to a larger cluster"
        )


def _require_cpus(workers: int) -> None:
    import ray

    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < workers:
        raise DistributedError(
            f"{workers} workers need as many CPUs, the Ray cluster has {cpus}; ask for fewer with "
            "--set workers=…, add nodes, or unset RAY_ADDRESS for a private cluster"
        )


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:300] or type(exc).__name__
