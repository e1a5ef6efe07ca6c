"""Adapters on packed rows: the loss that PEFT gives alone, frozen weights, files that belong to one base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import ConfigError
from tests.fixtures.tiny_training import pairs, tiny_model, write_data, write_tokenizer
from training.adapters.files import check_base, load_adapted, merge, read_adapter, write_adapter
from training.adapters.job import new_model
from training.adapters.kind import AdapterKind
from training.adapters.methods import AdapterError
from training.adapters.model import AdaptedModel, adapter_loss
from training.adapters.settings import METHODS, AdaptConfig, config_of
from training.examples import ChatTokenizer, read_answers
from training.layout import save_model
from training.optim import FlatAdamW
from training.packing import PackedData

pytestmark = [
    pytest.mark.unit,
    # What PEFT does without them is what training does: positions counted from the first virtual token.
    pytest.mark.filterwarnings("ignore:Position ids are not supported"),
]

LONG = {"prefix": {"virtual_tokens": 5}, "prompt": {"virtual_tokens": 5}, "ptuning": {"virtual_tokens": 5}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/` and the tiny model `base/`."""
    folder = tmp_path_factory.mktemp("adapters")
    data = write_data(folder / "data", pairs())
    tokenizer = ChatTokenizer(write_tokenizer(data, folder / "tokenizer"))
    model = tiny_model()
    save_model(folder / "base", model.state_dict(), model.config, tokenizer.folder, tokenizer.special)
    return folder


def settings(home: Path, method: str, **adapter: Any) -> AdaptConfig:
    values = {
        "data": str(home / "data"), "output": str(home / "run"), "from": str(home / "base"),
        "adapter": {"method": method, **LONG.get(method, {}), **adapter}, "optimizer": {"lr": 0.05},
        "batch": {"row_tokens": 96, "rows": 4},
    }  # fmt: skip
    return AdaptConfig.from_dict(values, "test")


def trained(home: Path, method: str, steps: int = 3) -> tuple[AdaptedModel, PackedData]:
    """An adapter that is no longer at its (often neutral) start."""
    config = settings(home, method)
    model = new_model(config, home / "base")
    examples = read_answers(home / "data" / "train.jsonl", ChatTokenizer(home / "base"), 96)
    packed = PackedData(examples.groups, 96, 8, seed=1)
    optimizer = FlatAdamW(model, config.optimizer, torch.float32)
    for _ in range(steps):
        adapter_loss(model, packed.batch(packed.epoch(0)[:4])).backward()  # type: ignore[no-untyped-call]
        optimizer.collect()
        optimizer.update(0.05, optimizer.grad_norm())
    return model.eval(), packed


@pytest.mark.parametrize("method", METHODS)
def test_a_packed_row_has_the_loss_that_peft_gives_its_texts_alone(home: Path, method: str) -> None:
    model, packed = trained(home, method)
    row = packed.epoch(0)[0]
    batch = packed.batch([row])
    alone = 0.0
    for piece in row:
        group = packed.groups[piece.group]
        for chosen in piece.chosen:
            context, answer = group.context.tolist(), group.continuations[chosen].tolist()
            ids = torch.tensor([context + answer])
            labels = torch.tensor([[-100] * (len(context) + 1) + answer[1:]])
            mask = torch.ones_like(ids)
            loss = model.peft(input_ids=ids, attention_mask=mask, labels=labels).loss
            alone += loss.item() * (len(answer) - 1)
    assert sum(len(piece.chosen) for piece in row) > 1
    assert adapter_loss(model, batch).item() == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_only_the_adapter_learns_and_its_files_give_the_same_answers(
    home: Path, tmp_path: Path, method: str
) -> None:
    untouched = new_model(settings(home, method), home / "base")
    model, _ = trained(home, method)
    changed = {name for name, tensor in model.state_dict().items()
               if not torch.equal(tensor, untouched.state_dict()[name])}  # fmt: skip
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert changed
    assert not changed & frozen

    write_adapter(model.peft, tmp_path / "adapter", home / "base")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "base.json"
    }  # fmt: skip
    again = AdaptedModel(load_adapted(home / "base", tmp_path / "adapter"))
    prompts = [[1, 4, 70, 71, 72, 5], [1, 4, 80, 5]]
    kind = AdapterKind(home / "base")
    assert kind.answer(again, prompts, 2, 12) == kind.answer(model, prompts, 2, 12)


@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
def test_a_merged_model_answers_like_base_and_adapter(home: Path, tmp_path: Path, method: str) -> None:
    from training.layout import load_model

    model, packed = trained(home, method)
    write_adapter(model.peft, tmp_path / "adapter", home / "base")
    merge(home / "base", tmp_path / "adapter", tmp_path / "merged")
    batch = packed.batch(packed.epoch(0)[:2])
    merged = load_model(tmp_path / "merged")
    expected = model(batch.tokens, batch.positions, batch.visible)
    actual = merged(batch.tokens, batch.positions, batch.visible)
    torch.testing.assert_close(actual[batch.targets >= 0], expected[batch.targets >= 0], rtol=1e-3, atol=1e-3)
    assert ChatTokenizer(tmp_path / "merged").special["eos"] == 2


def test_rotary_frequencies_keep_their_precision_in_bf16(home: Path) -> None:
    model = new_model(settings(home, "lora"), home / "base")
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if "inv_freq" in name}
    model.to(torch.bfloat16)
    after = dict(model.named_buffers())
    assert before
    assert all(torch.equal(after[name], buffer) for name, buffer in before.items())
    assert next(model.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_in_bf16(home: Path, method: str) -> None:
    config = settings(home, method)
    model = new_model(config, home / "base")
    examples = read_answers(home / "data" / "train.jsonl", ChatTokenizer(home / "base"), 96)
    packed = PackedData(examples.groups, 96, 8, seed=1)
    optimizer = FlatAdamW(model, config.optimizer, torch.bfloat16)
    adapter_loss(model, packed.batch(packed.epoch(0)[:2])).backward()  # type: ignore[no-untyped-call]
    optimizer.collect()
    assert 0 < optimizer.grad_norm() < float("inf")


def test_virtual_tokens_take_their_room_from_the_context(home: Path) -> None:
    model = new_model(settings(home, "prefix"), home / "base")
    sizes = AdapterKind(home / "base").sizes(model)
    assert sizes.context == 128 - 5
    # Keys and values of 5 tokens, 2 key-value heads of 8, in each of 2 layers.
    assert sizes.trainable == 5 * 2 * 16 * 2


def test_an_adapter_of_another_base_is_refused(home: Path, tmp_path: Path) -> None:
    model, _ = trained(home, "lora", steps=1)
    write_adapter(model.peft, tmp_path / "adapter", home / "base")
    other = tiny_model(seed=1)
    tokenizer = ChatTokenizer(home / "base")
    save_model(tmp_path / "other", other.state_dict(), other.config, tokenizer.folder, tokenizer.special)
    with pytest.raises(AdapterError, match="belongs to another base model"):
        check_base(read_adapter(tmp_path / "adapter"), tmp_path / "other")
    with pytest.raises(AdapterError, match="belongs to another base model"):
        merge(tmp_path / "other", tmp_path / "adapter", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_a_prompt_cannot_be_merged(home: Path, tmp_path: Path) -> None:
    model, _ = trained(home, "prompt", steps=1)
    write_adapter(model.peft, tmp_path / "adapter", home / "base")
    with pytest.raises(AdapterError, match="prompt tuning cannot be merged"):
        merge(home / "base", tmp_path / "adapter", tmp_path / "merged")


def test_a_folder_that_is_no_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"adapter_model\.safetensors, adapter_config\.json, base\.json"):
        read_adapter(tmp_path)
    for name in ("adapter_model.safetensors", "base.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 3}))
    with pytest.raises(AdapterError, match="peft_type"):
        read_adapter(tmp_path)


def test_matrices_that_the_model_lacks_are_named(home: Path) -> None:
    config = settings(home, "lora", targets=["query_projection"])
    with pytest.raises(AdapterError, match="query_projection"):
        new_model(config, home / "base")


@pytest.mark.parametrize("method", METHODS)
def test_the_settings_of_every_method_can_be_read(method: str) -> None:
    assert AdaptConfig.from_yaml(config_of(method)).adapter.method == method


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'lora'\\? known methods: lora, dora, prefix"):
        config_of("lorra")
    with pytest.raises(ConfigError, match="rank"):
        AdaptConfig.from_yaml(config_of("lora"), ["adapter.rnak=3"])
