"""Adapters loaded while the server serves: only the bundle's own, only after it was verified again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bundle import Bundle
from bundle.edit import add_files
from bundle.errors import BundleError
from services.llm.adapters import LOAD, ROUTES, AdapterApp, adapters_of
from services.llm.asgi import Receive, Scope, Send, answer_json, read_body
from services.llm.config import LoraSettings, ServerSettings
from services.llm.front import Front, Identity
from tests.fixtures.plain_bundle import build_plain_bundle

pytestmark = pytest.mark.unit


class Engine:
    """vLLM's application: notes what reaches it."""

    recovers = False

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive, 10**6)
        self.requests.append((scope["path"], json.loads(body) if body else {}))
        await answer_json(send, 200, {"ok": True})

    async def healthy(self) -> bool:
        return True

    async def metrics(self) -> bytes:
        return b""


@pytest.fixture
def served(tmp_path: Path) -> Bundle:
    """A bundle that got the adapter `polite` after the server had started."""
    folder = build_plain_bundle(tmp_path)
    started = Bundle.open(folder)
    with add_files(folder, "adapters/polite") as part:
        (part / "adapter_config.json").write_text("{}")
    return started


def app(served: Bundle, engine: Engine) -> AdapterApp:
    return AdapterApp(engine.app, served, lambda: Bundle.open(served.path), max_body_bytes=1000)


def load(name: object, **more: object) -> bytes:
    return json.dumps({"lora_name": name, **more}).encode()


def test_an_adapter_of_the_bundle_is_loaded_from_the_bundle(call: Any, served: Bundle) -> None:
    engine = Engine()
    answer = call(app(served, engine), "POST", LOAD, load("polite", lora_path="/etc"))
    assert answer.status == 200
    path = str(served.path / "adapters" / "polite")
    assert engine.requests == [(LOAD, {"lora_name": "polite", "lora_path": path, "load_inplace": False})]
    assert adapters_of(Bundle.open(served.path)) == ["polite"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (load("rude"), 404, "adapter_not_found"),
        (load("../model"), 404, "adapter_not_found"),
        (load(7), 400, None),
        (b"{}", 400, None),
        (b"nonsense", 400, "invalid_json"),
    ],
)
def test_anything_else_never_reaches_the_engine(
    call: Any, served: Bundle, body: bytes, status: int, code: str | None
) -> None:
    engine = Engine()
    answer = call(app(served, engine), "POST", LOAD, body)
    assert answer.status == status
    assert answer.json()["error"]["code"] == code
    assert not engine.requests


def test_a_bundle_that_is_not_signed_anew_is_refused(call: Any, served: Bundle) -> None:
    def verify() -> Bundle:
        raise BundleError("no signature")

    engine = Engine()
    checked = AdapterApp(engine.app, served, verify, max_body_bytes=1000)
    answer = call(checked, "POST", LOAD, load("polite"))
    assert (answer.status, answer.json()["error"]["code"]) == (409, "bundle_invalid")
    assert "no signature" in answer.json()["error"]["message"]
    assert not engine.requests


def test_a_bundle_with_another_model_is_refused(call: Any, served: Bundle) -> None:
    entries = [
        entry.model_copy(update={"sha256": "0" * 64}) if entry.path.startswith("model/") else entry
        for entry in served.manifest.files
    ]
    older = replace(served, manifest=served.manifest.model_copy(update={"files": entries}))
    engine = Engine()
    answer = call(app(older, engine), "POST", LOAD, load("polite"))
    assert (answer.status, answer.json()["error"]["code"]) == (409, "bundle_changed")
    assert not engine.requests


def test_only_the_operators_switch_opens_the_path(call: Any) -> None:
    engine, identity = Engine(), Identity("sha256:00", "m", "cloud", "fp32")
    closed = Front(engine, identity, max_body_bytes=1000)
    assert call(closed, "POST", LOAD, b"{}").status == 404
    opened = Front(engine, identity, max_body_bytes=1000, operator_routes=ROUTES)
    assert call(opened, "POST", LOAD, b"{}").status == 200
    assert call(opened, "GET", LOAD).status == 405


def test_the_switch_is_vllms_own_and_no_engine_argument() -> None:
    settings = ServerSettings.from_dict({"engine": {"lora": {"max_lora_rank": 8, "hot": True}}}, "test")
    assert settings.environment()["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    kwargs = settings.engine_kwargs()
    assert (kwargs["enable_lora"], kwargs["max_lora_rank"]) == (True, 8)
    assert "hot" not in kwargs
    closed = ServerSettings.from_dict({"engine": {"lora": LoraSettings().model_dump()}}, "test")
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in closed.environment()
