"""The Ray cluster that a job runs on: the one of RAY_ADDRESS, or a private one that ends with the job."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from training.distributed.config import DistributedError

OBJECT_STORE_BYTES = 256 * 2**20
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def cluster(workers: int) -> Iterator[None]:
    """Connect to the cluster of RAY_ADDRESS, or start a private one with `workers` logical CPUs.

    Inside another `cluster` it is that one again. Raises DistributedError where there are too few CPUs.
    Nothing is pinned or limited by logical CPUs: four workers on two cores share the two cores.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A lost worker is noticed by asking: every two seconds by default, which is long beside short steps.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.25")
    # Ray makes workers 15 steps nicer than itself: beside any other program they would starve.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # A machine that is busy with other work starts Ray slowly, and giving up helps nobody.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    # Settings of Ray Train that only feed its dashboard, which is not started.
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        _require_cpus(workers)
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    session: str | None = None
    try:
        if address := os.environ.get("RAY_ADDRESS"):
            ray.init(address=address, log_to_driver=False)
        else:
            # Ray's sockets live in this folder and their paths must stay below 108 characters.
            session = tempfile.mkdtemp(prefix="trivium-ray-")
            ray.init(
                address="local", num_cpus=workers, include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES, _temp_dir=session, _node_ip_address="127.0.0.1",
                log_to_driver=False,
            )  # fmt: skip
        _require_cpus(workers)
        yield
    except ConnectionError as exc:
        raise DistributedError(
            f"RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}: no Ray cluster answers there ({exc}); start one "
            "with `ray start --head`, or unset RAY_ADDRESS for a private one"
        ) from exc
    finally:
        ray.shutdown()
        if session:
            shutil.rmtree(session, ignore_errors=True)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def device_kind(gpus: Literal["auto", "never"], workers: int) -> Literal["cuda", "cpu"]:
    """Where the workers compute: on GPUs only where each can have one."""
    import ray

    return "cuda" if gpus == "auto" and ray.cluster_resources().get("GPU", 0) >= workers else "cpu"


def _require_cpus(workers: int) -> None:
    import ray

    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < workers:
        raise DistributedError(
            f"{workers} workers need as many CPUs, the Ray cluster has {cpus}; ask for fewer with "
            "--set workers=…, add nodes, or unset RAY_ADDRESS for a private cluster"
        )
