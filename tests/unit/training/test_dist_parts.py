"""Parts of distributed training that need no second process."""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.errors import ConfigError
from tests.fixtures.tiny_training import TINY, pairs, tiny_model, write_data, write_tokenizer
from training.checkpoint import CheckpointError
from training.distributed.async_worker import AsyncWorker, NumberedBatches
from training.distributed.cluster import _users_of
from training.distributed.config import DistributedConfig, DistributedError, identity_of
from training.distributed.corpus import Corpus, read_corpus, require_rows
from training.distributed.pipeline import cut_layers, formula_bubble, require_shape
from training.distributed.record import begin, start_of
from training.distributed.server import ParameterServer
from training.distributed.state import flat_layout, load_named_state, named_state, weights_of
from training.distributed.train import train
from training.loop import next_token_loss
from training.model import Llama
from training.optim import FlatAdamW, OptimizerConfig
from training.packing import BatchStream

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    write_tokenizer(write_data(folder / "data", pairs()), folder / "tokenizer")
    return folder / "data"


def settings(data: Path, output: Path, **changes: Any) -> DistributedConfig:
    values = {
        "model": TINY.model_dump(), "data": str(data), "output": str(output), "precision": "fp32",
        "tokenizer": str(data.parent / "tokenizer"), "max_steps": 8, "batch": {"row_tokens": 64, "rows": 5},
        "optimizer": {"lr": 0.01}, "evaluation": {"every": 4, "max_batches": 2}, **changes,
    }  # fmt: skip
    return DistributedConfig.from_dict(values, "test")


def corpus_of(config: DistributedConfig) -> tuple[Corpus, Llama]:
    tokenizer, model = start_of(config)
    return read_corpus(config, tokenizer), model


@pytest.mark.parametrize("size", [2, 4])
def test_workers_see_together_exactly_the_batches_of_one(data: Path, tmp_path: Path, size: int) -> None:
    config = settings(data, tmp_path)
    whole = BatchStream(corpus_of(config)[0].train, 5)
    shares = []
    for rank in range(size):
        part = corpus_of(config)[0].train
        part.share(rank, size)
        shares.append(BatchStream(part, 5))
    for _ in range(6):
        expected, parts = whole.next(), [share.next() for share in shares]
        assert sorted(expected.ids) == sorted(i for part in parts for i in part.ids)
        assert expected.target_tokens == sum(part.target_tokens for part in parts)
        assert expected.real_tokens == sum(part.real_tokens for part in parts)
        for rank, batch in enumerate(parts):
            assert torch.equal(batch.tokens, expected.tokens[rank::size])


def test_numbered_batches_are_those_of_the_stream(data: Path, tmp_path: Path) -> None:
    config = settings(data, tmp_path)
    corpus, _ = corpus_of(config)
    stream = BatchStream(corpus.train, 5)
    count = 3 * stream.rows_per_epoch // 5 + 2  # over the ends of epochs
    expected = [stream.next().tokens for _ in range(count)]
    numbered = NumberedBatches(corpus, config)
    for number in np.random.default_rng(1).permutation(count).tolist():
        assert torch.equal(numbered.batches(number)[0].tokens, expected[number])


def test_named_state_brings_another_optimizer_to_the_same_point() -> None:
    model, other = tiny_model(1), tiny_model(2)
    first, second = (FlatAdamW(m, OptimizerConfig(lr=0.1), torch.float32) for m in (model, other))
    for _ in range(2):
        first.grad.normal_()
        first.update(0.1, 1.0)
    state = named_state(first, model)
    assert weights_of(state).keys() == dict(model.named_parameters()).keys()
    load_named_state(second, other, state)
    gradient = torch.randn_like(first.grad)
    for optimizer in (first, second):
        optimizer.grad.copy_(gradient)
        optimizer.update(0.1, 1.0)
    assert torch.equal(first.master, second.master)
    with pytest.raises(DistributedError, match="another model"):
        load_named_state(second, other, {})


def test_layers_are_cut_so_that_the_heaviest_stage_is_light() -> None:
    model = Llama(TINY.model_copy(update={"num_hidden_layers": 6}), 320)
    # The output matrix weighs as much as 1.1 of these layers: 2 + 3 + 1 beats 2 + 2 + 2.
    assert len(cut_layers(model, 3)[-1]) == 1
    assert [i for part in cut_layers(model, 4) for i in part] == list(range(6))
    with pytest.raises(DistributedError, match="needs as many layers, the model has 6"):
        cut_layers(model, 7)
    assert formula_bubble(2, 1) == 0.5
    assert formula_bubble(4, 9) == 0.25


def server_of(config: DistributedConfig) -> tuple[ParameterServer, list[AsyncWorker]]:
    identity = identity_of("async", config, data_tokenizer(config))
    corpus, model = corpus_of(config)
    workers = [
        AsyncWorker(rank, config, corpus, corpus_of(config)[1], "cpu") for rank in range(config.workers)
    ]
    return ParameterServer(config, identity, model, config.max_steps or 0), workers


def data_tokenizer(config: DistributedConfig) -> Path:
    assert config.tokenizer is not None
    return config.tokenizer


async def test_staleness_is_counted_and_every_batch_is_used_once(data: Path, tmp_path: Path) -> None:
    server, workers = server_of(settings(data, tmp_path, workers=2))
    tasks: list[Any] = [await server.exchange(rank, None) for rank in range(2)]
    seen = []
    while any(tasks):
        for rank in range(2):
            if tasks[rank]:
                seen.append(tasks[rank].batch)
                tasks[rank] = await server.exchange(rank, workers[rank]._gradient(tasks[rank]))
    summary = await server.finish()
    assert sorted(seen) == list(range(8))
    assert summary["staleness"] == {"mean": 7 / 8, "max": 1, "histogram": {"0": 1, "1": 7}}
    assert sorted(summary["snapshots"]) == [4, 8]


async def test_a_stale_gradient_is_that_of_old_weights_in_the_update_of_the_newest(
    data: Path, tmp_path: Path
) -> None:
    """Two workers in turn are AdamW, here torch's own, with gradients that are one update old."""
    config = settings(data, tmp_path, workers=2)
    server, workers = server_of(config)
    tasks: list[Any] = [await server.exchange(rank, None) for rank in range(2)]
    for push in range(8):
        tasks[push % 2] = await server.exchange(push % 2, workers[push % 2]._gradient(tasks[push % 2]))
    weights = (await server.finish())["snapshots"][8]

    corpus, model = corpus_of(config)
    # FlatAdamW's order; it decays matrices alone.
    named = dict(model.named_parameters())
    ordered = [named[name] for name, _ in flat_layout(model)]
    kinds = [[p for p in ordered if p.dim() > 1], [p for p in ordered if p.dim() <= 1]]
    decays = (config.optimizer.weight_decay, 0.0)
    groups = [{"params": ps, "weight_decay": decay} for ps, decay in zip(kinds, decays, strict=True)]
    adamw = torch.optim.AdamW(groups, betas=config.optimizer.betas, eps=config.optimizer.eps)
    old, batches = copy.deepcopy(model), NumberedBatches(corpus, config)
    for step in range(8):
        old.zero_grad()
        (batch,) = batches.batches(step)
        (next_token_loss(old, batch) / batch.target_tokens).backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad.clone() for p in old.parameters() if p.grad is not None]
        old.load_state_dict(model.state_dict())  # what the next worker pulls, before this update
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.clip_norm)
        for group in adamw.param_groups:
            group["lr"] = config.optimizer.rate_at(step, 8)
        adamw.step()
    expected = torch.cat([p.detach().flatten() for p in ordered])
    torch.testing.assert_close(torch.from_numpy(weights), expected, atol=1e-4, rtol=0)


async def test_a_bound_makes_the_fast_worker_wait_and_a_lost_one_lets_it_go(
    data: Path, tmp_path: Path
) -> None:
    server, workers = server_of(settings(data, tmp_path, workers=2, server={"staleness_bound": 0}))
    fast: Any = await server.exchange(0, None)
    slow: Any = await server.exchange(1, None)
    waiting = asyncio.create_task(server.exchange(0, workers[0]._gradient(fast)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await server.forget(1)
    again: Any = await waiting
    assert again.batch == slow.batch  # the lost worker's batch is not lost


async def test_what_a_lost_worker_still_sends_is_dropped(data: Path, tmp_path: Path) -> None:
    server, workers = server_of(settings(data, tmp_path, workers=2, server={"staleness_bound": 0}))
    lost: Any = await server.exchange(0, None)
    other: Any = await server.exchange(1, None)
    late = workers[0]._gradient(lost)
    waiting = asyncio.create_task(server.exchange(1, workers[1]._gradient(other)))
    await asyncio.sleep(0.05)
    assert await server.forget(0) == 1
    assert await server.exchange(0, late) is None
    task: Any = await waiting
    used = []
    while task:
        used.append(task.batch)
        task = await server.exchange(1, workers[1]._gradient(task))
    assert used == [lost.batch, *range(2, 8)]
    assert (await server.finish())["steps"] == 8


async def test_a_waiting_worker_that_is_lost_takes_no_batch(data: Path, tmp_path: Path) -> None:
    server, workers = server_of(settings(data, tmp_path, workers=2, server={"staleness_bound": 0}))
    fast: Any = await server.exchange(0, None)
    slow: Any = await server.exchange(1, None)
    waiting = asyncio.create_task(server.exchange(0, workers[0]._gradient(fast)))
    await asyncio.sleep(0.05)
    await server.forget(0)
    assert await waiting is None
    task: Any = await server.exchange(1, workers[1]._gradient(slow))
    assert task.batch == 2


async def test_a_server_goes_on_from_its_checkpoint(data: Path, tmp_path: Path) -> None:
    config = settings(data, tmp_path, workers=1, checkpoint={"every": 3})
    server, (worker,) = server_of(config)
    task: Any = await server.exchange(0, None)
    for _ in range(4):
        task = await server.exchange(0, worker._gradient(task))
    resumed, _ = server_of(config)
    assert await resumed.join({}) == 3
    late = worker._gradient(task)
    assert (await resumed.exchange(0, late)).batch == 3, "a push from before is dropped"  # type: ignore[union-attr]
    assert (await resumed.finish())["steps"] == 3


def test_a_checkpoint_of_another_config_is_refused(data: Path, tmp_path: Path) -> None:
    config = settings(data, tmp_path, workers=1, checkpoint={"every": 3})
    asyncio.run(server_of(config)[0].finish())
    other = settings(data, tmp_path, workers=1, seed=2)
    with pytest.raises(CheckpointError, match="seed: 1 -> 2"):
        begin(other, identity_of("async", other, data_tokenizer(other)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 1}, "at least 2 workers"),
        ({"pipeline": {"micro_batches": 3}}, "cannot be cut into pipeline.micro_batches = 3"),
        (
            {"workers": 4, "batch": {"rows": 2}, "pipeline": {"micro_batches": 2}},
            "as many micro-batches as stages",
        ),
    ],
)
def test_a_pipeline_that_does_not_fit_is_refused(
    data: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DistributedError, match=message):
        require_shape(settings(data, tmp_path, **changes))


def test_bad_input_is_refused_before_ray_starts(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pipeline\.schedule: Input should be 'gpipe' or '1f1b'"):
        settings(data, tmp_path, pipeline={"schedule": "zigzag"})
    with pytest.raises(DistributedError, match="cannot be shared among 6 workers"):
        train("ddp", settings(data, tmp_path, workers=6))
    with pytest.raises(DistributedError, match="prepares a data set"):
        train("ddp", settings(data, tmp_path).model_copy(update={"data": tmp_path / "nowhere"}))
    with pytest.raises(ConfigError, match="beyond the model's context of 128"):
        train("async", settings(data, tmp_path, batch={"row_tokens": 256, "rows": 2}))
    require_rows(5, settings(data, tmp_path, workers=5), data)


def test_a_process_that_outlives_its_cluster_is_known_by_its_log(tmp_path: Path) -> None:
    program = "import sys, time; log = open(sys.argv[1], 'w'); print('ready', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program, str(tmp_path / "worker.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            assert [found.pid for found in _users_of(str(tmp_path))] == [process.pid]
        finally:
            process.kill()
    assert _users_of(str(tmp_path)) == []
