"""Where vLLM's worker runs."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

PR_SET_PDEATHSIG = 1


def in_engine_process(config: Any) -> bool:
    """Let a lone CPU worker run inside the engine's process; whether that is so now.

    vLLM gives every CPU worker a process of its own, so that it can set OpenMP's variables before torch is
    imported there. We set them before anything is imported (`ServerSettings.environment`), and save the
    process: 15 s of imports on two cores and 600 MB.
    """
    from vllm.platforms import current_platform

    parallel = config.parallel_config
    if not current_platform.is_cpu() or parallel.world_size != 1:
        return False
    parallel.distributed_executor_backend = "uni"
    return True


def forked_children_die_with_us() -> None:
    """Have the kernel kill every child forked from now on when this process dies, however it dies.

    vLLM's engine does not notice a parent that was killed with SIGKILL (prctl(2), PR_SET_PDEATHSIG).
    """
    libc = ctypes.CDLL(None)
    os.register_at_fork(after_in_child=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
