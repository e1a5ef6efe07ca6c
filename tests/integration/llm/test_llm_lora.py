"""LoRA adapters of a bundle on a real vLLM: served beside the model, loaded hot, and only when signed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from bundle.signing import sign
from common.processes import ServerProcess, free_port
from tests.fixtures.tiny_bundle import TinyBundle, make_tiny_bundle

pytestmark = pytest.mark.integration

PROMPT = "Describe: name: The Eagle, food: French."
READY_SECONDS = 240.0
TOKENS = 16


def write_random_adapter(folder: Path, base: Path, seed: int) -> Path:
    """A LoRA adapter strong enough to change greedy answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from evaluation.local import load_local
    from training.adapters.files import write_adapter

    torch.manual_seed(seed)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear", init_lora_weights=False
    )
    write_adapter(get_peft_model(load_local(base).model, config), folder, base)
    return folder


def expected(base: Path, adapter: Path | None) -> list[int]:
    """Greedy token ids by transformers and PEFT."""
    import torch

    from evaluation.local import load_local
    from training.adapters.files import load_adapted

    local = load_local(base)
    model = local.model if adapter is None else load_adapted(base, adapter)
    ids = torch.tensor([local.tokenizer(PROMPT, add_special_tokens=False)["input_ids"]])
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=TOKENS,
        max_new_tokens=TOKENS, pad_token_id=0,
    )  # fmt: skip
    return [int(token) for token in output[0, ids.shape[1] :]]


def served(url: str, model: str) -> Any:
    request: dict[str, Any] = {
        "model": model, "prompt": PROMPT, "temperature": 0, "max_tokens": TOKENS, "min_tokens": TOKENS,
        "return_token_ids": True, "add_special_tokens": False,
    }  # fmt: skip
    return requests.post(f"{url}/v1/completions", json=request, timeout=120).json()


def post(url: str, path: str, **body: str) -> requests.Response:
    return requests.post(f"{url}{path}", json=body, timeout=120)


@pytest.fixture
def bundle(tmp_path: Path) -> TinyBundle:
    return make_tiny_bundle(tmp_path)


def add_signed(bundle: TinyBundle, adapter: Path, name: str) -> None:
    from training.adapters.serve import add_to_bundle

    add_to_bundle(adapter, bundle.path, name)
    sign(bundle.path, bundle.private_key)


@pytest.mark.timeout(600)
def test_adapters_are_served_beside_the_model_and_loaded_hot(bundle: TinyBundle, tmp_path: Path) -> None:
    base = bundle.path / "model"
    first, second = (write_random_adapter(tmp_path / f"adapter-{i}", base, seed=i) for i in (1, 2))
    add_signed(bundle, first, "first")
    wanted = {"tiny": expected(base, None), "first": expected(base, first), "second": expected(base, second)}
    assert len({tuple(tokens) for tokens in wanted.values()}) == 3

    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "services.llm", "--bundle", str(bundle.path), "--port", str(port),
        "--engine", "vllm", "--public-key", str(bundle.public_key),
        "--set", "engine.lora={max_loras: 2, max_lora_rank: 8, hot: true}", "--set", "engine.kv_cache_mib=32",
    ]  # fmt: skip
    server = ServerProcess(command, log=tmp_path / "server.log", ready_url=f"{url}/ready")
    with server:
        server.wait_ready(READY_SECONDS)
        listed = requests.get(f"{url}/v1/models", timeout=30).json()["data"]
        assert {model["id"] for model in listed} == {"tiny", "first"}
        for name in ("tiny", "first"):
            assert served(url, name)["choices"][0]["token_ids"] == wanted[name]

        # Not there yet; then added but not signed; then signed.
        assert post(url, "/v1/load_lora_adapter", lora_name="second").status_code == 404
        from training.adapters.serve import add_to_bundle

        add_to_bundle(second, bundle.path, "second")
        refused = post(url, "/v1/load_lora_adapter", lora_name="second")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "bundle_invalid")
        sign(bundle.path, bundle.private_key)
        loaded = post(url, "/v1/load_lora_adapter", lora_name="second", lora_path="/nowhere")
        assert loaded.status_code == 200, loaded.text
        assert served(url, "second")["choices"][0]["token_ids"] == wanted["second"]
        assert served(url, "first")["choices"][0]["token_ids"] == wanted["first"]

        assert post(url, "/v1/unload_lora_adapter", lora_name="second").status_code == 200
        assert "choices" not in served(url, "second")
        assert served(url, "tiny")["choices"][0]["token_ids"] == wanted["tiny"]
