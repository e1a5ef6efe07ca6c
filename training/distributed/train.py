"""One distributed job of any strategy, from its settings to the trained model."""

from __future__ import annotations

import sys
import time
from typing import Any

from training.distributed.asynchronous import run_actors
from training.distributed.cluster import cluster, device_kind
from training.distributed.config import DistributedConfig, DistributedError, Strategy, identity_of
from training.distributed.corpus import read_corpus, require_rows
from training.distributed.follow import follow
from training.distributed.job import Job
from training.distributed.launch import run_trainer
from training.distributed.record import (
    begin,
    describe,
    facts_of,
    finished,
    start_of,
    with_whole_paths,
    write_result,
)
from training.model import Llama
from training.packing import BatchStream


def train(strategy: Strategy, settings: DistributedConfig) -> dict[str, Any]:
    """Run a job to its end, on from its last checkpoint; returns what result.json holds.

    Raises DistributedError where it cannot start, or where workers were lost more than `max_failures` times;
    other TriviumErrors for mistakes in settings and data.
    """
    settings = with_whole_paths(settings)
    tokenizer, model = start_of(settings)
    identity = identity_of(strategy, settings, tokenizer.folder)
    if found := finished(settings, identity):
        return found
    corpus = read_corpus(settings, tokenizer)
    stream = BatchStream(corpus.train, settings.batch.rows)
    _require_fit(strategy, settings, model, stream)
    steps = settings.max_steps or stream.steps(settings.epochs, settings.batch.accumulate)
    done = begin(settings, identity)
    started = time.perf_counter()
    with cluster(settings.workers):
        import ray

        device = device_kind(settings.gpus, settings.workers)
        job = Job(strategy, settings, identity, ray.put(corpus), ray.put(model), steps, device)
        print(describe(strategy, settings, model, corpus, device), file=sys.stderr)
        with follow(strategy, settings, steps, done):
            summary = run_actors(job) if strategy == "async" else run_trainer(job)
    summary["rows"] = summary["steps"] * stream.rows_per_batch * settings.batch.accumulate
    summary |= facts_of(strategy, settings, model, corpus, time.perf_counter() - started)
    return write_result(settings, tokenizer, identity, model, summary)


def _require_fit(strategy: Strategy, settings: DistributedConfig, model: Llama, stream: BatchStream) -> None:
    """Raise DistributedError where model, rows and workers do not fit together."""
    if strategy != "pipeline":
        require_rows(stream.rows_per_batch, settings, settings.data)
        return
    from training.distributed.pipeline import cut_layers, require_shape

    require_shape(settings)
    cut_layers(model, settings.workers)
    if stream.rows_per_batch < settings.batch.rows:
        raise DistributedError(
            f"{settings.data} fills only {stream.rows_per_batch} of batch.rows = {settings.batch.rows} rows; "
            "lower batch.rows"
        )
