"""Loading the bundle's adapters while the server serves: `POST /v1/load_lora_adapter {"lora_name": "…"}`.

An operator adds an adapter to the bundle and signs it again; a request then makes the server take it up. vLLM
would load any folder that a client names. Here only the served bundle's `adapters/<name>` is loaded, after
the bundle was verified anew, so that what is served stays what was signed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from bundle import Bundle, BundleError
from services.llm.asgi import App, Receive, Scope, Send, answer_json, read_body, replay
from services.llm.contract import as_json, json_object
from services.llm.errors import RequestError

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
ROUTES = {LOAD: "POST", UNLOAD: "POST"}
"""What the front passes on where the operator allows it (`engine.lora.hot`)."""


class AdapterApp:
    """ASGI application: vLLM's, with checked loading of adapters before it.

    `verify` checks the bundle that is on disk now. Raises nothing: mistakes are answers (400, 404, 409).
    """

    def __init__(
        self, app: App, served: Bundle, verify: Callable[[], Bundle], *, max_body_bytes: int
    ) -> None:
        self._app = app
        self._served = served
        self._verify = verify
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != LOAD:
            await self._app(scope, receive, send)
            return
        body = await read_body(receive, self._max_body_bytes)
        try:
            request = await self._checked(json_object(body))
        except RequestError as exc:
            await answer_json(send, exc.status, exc.body())
            return
        await self._app(as_json(scope), replay(json.dumps(request).encode(), receive), send)

    async def _checked(self, request: dict[str, Any]) -> dict[str, object]:
        """vLLM's request for the adapter that was asked for. Raises RequestError."""
        name = request.get("lora_name")
        if not isinstance(name, str) or not name:
            raise RequestError(400, "lora_name must name an adapter of the bundle", param="lora_name")
        try:
            now = await asyncio.to_thread(self._verify)
        except BundleError as exc:
            raise RequestError(409, f"the bundle on disk is not valid: {exc}", code="bundle_invalid") from exc
        if model_files(now) != model_files(self._served):
            raise RequestError(
                409, "the bundle on disk has another model than the one served; restart the server",
                code="bundle_changed",
            )  # fmt: skip
        there = adapters_of(now)
        if name not in there:
            known = ", ".join(there) or "none"
            raise RequestError(
                404, f"the bundle has no adapter {name!r}; there: {known}", param="lora_name",
                code="adapter_not_found",
            )  # fmt: skip
        folder = now.path / "adapters" / name
        return {
            "lora_name": name,
            "lora_path": str(folder),
            "load_inplace": bool(request.get("load_inplace")),
        }


def adapters_of(bundle: Bundle) -> list[str]:
    """Names of the adapters in a bundle's manifest, sorted."""
    parts = [entry.path.split("/") for entry in bundle.manifest.files]
    return sorted({part[1] for part in parts if part[0] == "adapters" and len(part) > 2})


def model_files(bundle: Bundle) -> dict[str, str]:
    """Digests of the model's files: what an adapter was trained on."""
    entries = bundle.manifest.files
    return {entry.path: entry.sha256 for entry in entries if entry.path.startswith("model/")}
