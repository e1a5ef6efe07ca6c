"""Runs the row stages over the shards: with Ray Data on any number of workers, or in this process.

Both give the same rows in the same order: a stage looks at one row at a time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from common.processes import default_environment
from training.corpus.config import CorpusConfig
from training.corpus.stages import ROW_STAGES, run_stage

if TYPE_CHECKING:
    import pyarrow as pa

OBJECT_STORE_BYTES = 256 * 2**20
"""Blocks in flight; Ray would take a third of the machine's memory."""
_ENVIRONMENT = {
    # Ray announces changes of its own defaults on every start.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Workers that start before anyone asks for them hold memory and are not used.
    "RAY_prestart_worker_first_driver": "0",
    # Workers give freed blocks back to the system: with the allocators' own settings they grew by a third.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "MALLOC_MMAP_THRESHOLD_": "131072",
}
"""Of a private Ray and its workers; what the user has set stays."""
BLOCK_BYTES = 4 * 2**20


def run_row_stages(shards: Sequence[Path], config: CorpusConfig) -> Generator[pa.Table, None, None]:
    """The rows of the shards after all row stages, shard by shard in order."""
    settings = config.model_dump_json()
    run = _in_this_process if config.workers == 0 else _with_ray
    yield from run(shards, config, settings)


def _in_this_process(shards: Sequence[Path], config: CorpusConfig, settings: str) -> Iterator[pa.Table]:
    from training.corpus.shards import read_batches

    for batch in read_batches(shards, config.batch_rows):
        for name in ROW_STAGES:
            batch = run_stage(batch, name, settings)
        yield batch


def _with_ray(shards: Sequence[Path], config: CorpusConfig, settings: str) -> Iterator[pa.Table]:
    with ray_data(config.workers):
        import ray.data

        paths = [str(path.resolve()) for path in shards]
        data = ray.data.read_parquet(paths, override_num_blocks=len(paths))
        for name in ROW_STAGES:
            data = data.map_batches(
                partial(run_stage, name=name, settings=settings), batch_format="pyarrow",
                batch_size=config.batch_rows, zero_copy_batch=True,
            )  # fmt: skip
        yield from data.iter_batches(batch_format="pyarrow", batch_size=None, prefetch_batches=1)


def _start(workers: int | None) -> None:
    import ray

    with default_environment(_ENVIRONMENT):
        ray.init(
            address="local", num_cpus=workers, num_gpus=0, include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES, logging_level=logging.ERROR, log_to_driver=False,
        )  # fmt: skip


@contextmanager
def ray_data(workers: int | None) -> Iterator[None]:
    """A Ray of this process's own (or the cluster that RAY_ADDRESS names), ended on the way out."""
    import ray

    address = os.environ.get("RAY_ADDRESS")
    started = not ray.is_initialized()
    if started and address:
        ray.init(address=address, logging_level=logging.ERROR)
    elif started:
        _start(workers)
    try:
        from ray.data import DataContext

        context = DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.target_max_block_size = BLOCK_BYTES
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield
    finally:
        if started:
            ray.shutdown()
