"""Completions from any server that speaks the OpenAI chat API: several at once, retried, in order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from evaluation.errors import EvaluationError
from evaluation.prompts import Message, as_conversation

OnAnswer = Callable[[int, str], None]
"""Called with the index of an input and its answer, as soon as the answer is there."""

_BUSY = {408, 409, 425, 429, 500, 502, 503, 504}


class ClientError(EvaluationError):
    """A server could not be reached, kept failing, or refused an input."""


@dataclass(frozen=True)
class Settings:
    """How to ask. The defaults decode greedily."""

    max_tokens: int = 128
    temperature: float = 0.0
    concurrency: int = 8
    attempts: int = 5
    """Tries per input: connection errors, 429 and 5xx are tried again after a growing, jittered pause."""
    pause_seconds: float = 0.25
    timeout_seconds: float = 300.0
    api_key: str | None = None


def complete_many(
    base_url: str,
    model: str,
    inputs: Sequence[str | Sequence[Message]],
    *,
    settings: Settings | None = None,
    numbers: Sequence[int] | None = None,
    on_answer: OnAnswer | None = None,
) -> list[str]:
    """One answer per input, in order. An input is a user message or a whole conversation.

    base_url: with or without the closing `/v1`. Raises ClientError naming the first input that failed for
    good, by `numbers` or counted from 1; the requests still under way are cancelled. Not for use inside a
    running event loop.
    """
    return asyncio.run(_complete_all(base_url, model, inputs, settings or Settings(), numbers, on_answer))


def served_model(base_url: str, timeout_seconds: float = 30.0) -> str:
    """The id of the only model that a server lists. Raises ClientError where there is none or a choice."""
    url = f"{_api_root(base_url)}/models"
    try:
        response = httpx.get(url, timeout=timeout_seconds)
        response.raise_for_status()
        models = [str(entry["id"]) for entry in response.json()["data"]]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as exc:
        raise ClientError(f"{url}: no model list ({_reason(exc)}); is the server up?") from exc
    if len(models) != 1:
        listed = ", ".join(models) or "none"
        raise ClientError(f"{url}: lists {len(models)} models ({listed}); choose one with --model")
    return models[0]


async def _complete_all(
    base_url: str,
    model: str,
    inputs: Sequence[str | Sequence[Message]],
    settings: Settings,
    numbers: Sequence[int] | None,
    on_answer: OnAnswer | None,
) -> list[str]:
    answers = [""] * len(inputs)
    waiting = iter(range(len(inputs)))
    url = f"{_api_root(base_url)}/chat/completions"
    headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
    limits = httpx.Limits(max_connections=settings.concurrency)

    async def work(client: httpx.AsyncClient) -> None:
        for index in waiting:
            body = {
                "model": model, "messages": as_conversation(inputs[index]),
                "max_tokens": settings.max_tokens, "temperature": settings.temperature,
            }  # fmt: skip
            answers[index] = await _complete(
                client, url, body, f"input {numbers[index] if numbers else index + 1}", settings
            )
            if on_answer is not None:
                on_answer(index, answers[index])

    async with httpx.AsyncClient(timeout=settings.timeout_seconds, limits=limits, headers=headers) as client:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(settings.concurrency, len(inputs))):
                    group.create_task(work(client))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
    return answers


async def _complete(
    client: httpx.AsyncClient, url: str, body: dict[str, Any], name: str, settings: Settings
) -> str:
    problem = ""
    for attempt in range(settings.attempts):
        pause = settings.pause_seconds * 2**attempt * random.uniform(0.5, 1.5)
        try:
            response = await client.post(url, json=body)
        except httpx.InvalidURL as exc:
            raise ClientError(f"{url}: {exc}") from exc
        except httpx.HTTPError as exc:
            problem = _reason(exc)
        else:
            if response.status_code == 200:
                return _content(response, name)
            problem = f"HTTP {response.status_code}: {_error_message(response)}"
            if response.status_code not in _BUSY:
                raise ClientError(f"{name}: {url} refused it, {problem}")
            after = response.headers.get("retry-after", "")
            pause = max(pause, float(after)) if after.isdigit() else pause
        if attempt + 1 < settings.attempts:
            await asyncio.sleep(min(pause, 30.0))
    raise ClientError(f"{name}: {url} failed {settings.attempts} times, the last time with {problem}")


def _content(response: httpx.Response, name: str) -> str:
    try:
        content = response.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        raise ClientError(f"{name}: the answer is no chat completion: {response.text[:200]!r}") from exc
    return content if isinstance(content, str) else ""


def _error_message(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200]


def _api_root(base_url: str) -> str:
    root = base_url.rstrip("/")
    if not root.startswith(("http://", "https://")):
        raise ClientError(f"{base_url!r} is no address; write it as http://HOST:PORT")
    return root if root.endswith("/v1") else f"{root}/v1"


def _reason(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
