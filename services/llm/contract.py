"""The checks of the contract that vLLM does not make, in front of vLLM's own application.

vLLM cuts `max_tokens` down to what the context leaves and says nothing. A client that asked for more
than it can get is told so here, with 400.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from services.llm.asgi import App, Message, Receive, Scope, Send, answer_json, read_body, replay
from services.llm.errors import RequestError, error_body

MODEL_PATH = "/v1/models/"
GENERATING = {"/v1/completions", "/v1/chat/completions"}
# What of a chat request decides its prompt, and `/tokenize` takes too.
CHAT_KEYS = (
    "model", "messages", "add_generation_prompt", "continue_final_message", "add_special_tokens", "tools",
    "chat_template_kwargs",
)  # fmt: skip
# Tokens that a chat template may put around one message; only decides when the exact count is needed.
TEMPLATE_TOKENS_PER_MESSAGE = 16


class ContractApp:
    """ASGI application: vLLM's, with the contract's checks before it."""

    def __init__(self, app: App, *, max_model_len: int, max_body_bytes: int) -> None:
        self._app = app
        self._max_model_len = max_model_len
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(MODEL_PATH):
            await self._answer_model(scope, send)
            return
        if scope["path"] not in GENERATING:
            await self._app(scope, receive, send)
            return
        body = await read_body(receive, self._max_body_bytes)
        try:
            await self._check(scope, json_object(body))
        except RequestError as exc:
            await answer_json(send, exc.status, exc.body())
            return
        await self._app(as_json(scope), replay(body, receive), send)

    async def _answer_model(self, scope: Scope, send: Send) -> None:
        """`GET /v1/models/{id}`, which vLLM has not, from its list of models."""
        wanted = scope["path"].removeprefix(MODEL_PATH)
        status, listed = await self._ask(scope, "GET", "/v1/models", b"")
        found = [model for model in listed.get("data", []) if model["id"] == wanted]
        if status == 200 and found:
            await answer_json(send, 200, found[0])
        else:
            message = f"the model {wanted!r} does not exist"
            await answer_json(send, 404, error_body(404, message, param="model", code="model_not_found"))

    async def _check(self, scope: Scope, request: dict[str, Any]) -> None:
        key = "max_completion_tokens" if request.get("max_completion_tokens") is not None else "max_tokens"
        wanted = request.get(key)
        # Wrong types are vLLM's to refuse: it validates the whole request.
        if not isinstance(wanted, int) or isinstance(wanted, bool):
            return
        if wanted < 1:
            raise RequestError(400, f"{key} must be at least 1, got {wanted}", param=key)
        if wanted >= self._max_model_len:
            raise RequestError(
                400, f"{key}={wanted} is beyond the context of {self._max_model_len} tokens", param=key
            )
        if _prompt_tokens_bound(request) + wanted <= self._max_model_len:
            return
        prompt = await self._prompt_tokens(scope, request)
        if prompt is not None and prompt <= self._max_model_len < prompt + wanted:
            left = self._max_model_len - prompt
            raise RequestError(
                400,
                f"{key}={wanted} is beyond what the context leaves: {self._max_model_len} tokens less "
                f"{prompt} of prompt leave {left}",
                param=key,
            )

    async def _prompt_tokens(self, scope: Scope, request: dict[str, Any]) -> int | None:
        """Length of the (longest) prompt by vLLM's `/tokenize`; None where vLLM refuses the prompt."""
        if "messages" in request:
            return await self._tokenize(scope, {key: request[key] for key in CHAT_KEYS if key in request})
        prompt = request.get("prompt")
        if isinstance(prompt, list) and prompt and all(isinstance(token, int) for token in prompt):
            return len(prompt)
        prompts = prompt if isinstance(prompt, list) else [prompt]
        common: dict[str, Any] = {
            key: request[key] for key in ("model", "add_special_tokens") if key in request
        }
        counts = [
            len(one) if isinstance(one, list) else await self._tokenize(scope, {**common, "prompt": one})
            for one in prompts
        ]
        return None if None in counts else max((count for count in counts if count is not None), default=None)

    async def _tokenize(self, scope: Scope, request: dict[str, Any]) -> int | None:
        status, answer = await self._ask(scope, "POST", "/tokenize", json.dumps(request).encode())
        return int(answer["count"]) if status == 200 else None

    async def _ask(self, scope: Scope, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Ask vLLM's application something on the way; its status and JSON answer."""
        status, answer = 0, bytearray()

        async def stays_connected() -> Message:
            # vLLM listens for a disconnect while it works, and is cancelled out of it when done.
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                answer.extend(message.get("body", b""))

        inner = {
            **as_json(scope),
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
        }
        await self._app(inner, replay(body, stays_connected), send)
        content = json.loads(answer)
        return status, content if isinstance(content, dict) else {}


def json_object(body: bytes) -> dict[str, Any]:
    """The body of a request. Raises RequestError (400) where it is no JSON object."""
    try:
        request = json.loads(body)
    except ValueError as exc:  # bad JSON, bad UTF-8
        raise RequestError(400, f"the body is not valid JSON: {exc}", code="invalid_json") from exc
    except RecursionError as exc:
        raise RequestError(400, "the body is nested too deeply", code="invalid_json") from exc
    if not isinstance(request, dict):
        raise RequestError(400, "the body must be a JSON object", code="invalid_json")
    return request


def _prompt_tokens_bound(request: dict[str, Any]) -> int:
    """At least the prompt's tokens, without tokenizing: no tokenizer makes more tokens than bytes."""
    if "messages" in request:
        messages = request["messages"] if isinstance(request["messages"], list) else []
        return len(json.dumps(messages)) + TEMPLATE_TOKENS_PER_MESSAGE * (len(messages) + 1)
    return len(json.dumps(request.get("prompt"), ensure_ascii=False).encode(errors="replace"))


def as_json(scope: Scope) -> Scope:
    """The scope with the content type that the body, now parsed, is known to have.

    FastAPI reads the body as JSON by this header only; clients that leave it out mean JSON too.
    """
    headers = [
        (name, value) for name, value in scope["headers"] if name not in (b"content-type", b"content-length")
    ]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}
