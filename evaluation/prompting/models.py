"""Who answers: a model folder in this process, or any server that speaks the OpenAI chat API."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.files import sha256_file
from evaluation.client import Settings, complete_many, served_model
from evaluation.errors import EvaluationError
from evaluation.local import LocalModel, generate_local, load_local, prompt_ids
from evaluation.prompts import Conversation

OnAnswer = Callable[[int, str], None]
_BYTES_PER_TOKEN = 4
"""Of English text under common tokenizers; used only where there is no tokenizer to count with."""


class PromptModel(ABC):
    """Answers conversations greedily and counts their tokens."""

    fingerprint: str
    """Same fingerprint, same answers: what the answers on disk are kept by."""
    name: str
    """For people."""
    counted: str
    """How tokens are counted, in words."""
    context: int | None
    """Longest prompt and answer in tokens; None where that is not known."""

    @abstractmethod
    def answer(self, conversations: Sequence[Conversation], max_tokens: int, on_answer: OnAnswer) -> None:
        """Answer all; `on_answer` gets the index and the text as soon as it is there."""

    @abstractmethod
    def prompt_tokens(self, conversation: Conversation) -> int:
        """Tokens of a rendered conversation."""

    @abstractmethod
    def text_tokens(self, text: str) -> int:
        """Tokens of an answer with its end."""


class HereModel(PromptModel):
    """A Hugging Face folder, answered by transformers in this process."""

    def __init__(self, folder: Path, precision: str = "fp32", batch_size: int = 32) -> None:
        self._local = load_local(folder, precision)
        self._batch_size = batch_size
        parts = [
            sha256_file(p)
            for name in ("model.safetensors", "tokenizer.json")
            if (p := folder / name).is_file()
        ]
        if not parts:
            raise EvaluationError(f"{folder}: neither model.safetensors nor tokenizer.json in it")
        self.fingerprint = hashlib.sha256("".join([*parts, precision]).encode()).hexdigest()
        self.name = str(folder)
        self.counted = "by the model's tokenizer"
        self.context = self._local.context

    def answer(self, conversations: Sequence[Conversation], max_tokens: int, on_answer: OnAnswer) -> None:
        """In batches of similar length."""
        generate_local(
            self._local,
            conversations,
            max_tokens=max_tokens,
            batch_size=self._batch_size,
            on_answer=on_answer,
        )

    def prompt_tokens(self, conversation: Conversation) -> int:
        """Exact."""
        return len(prompt_ids(self._local, conversation))

    def text_tokens(self, text: str) -> int:
        """Exact, with one token for the end."""
        return len(self._local.tokenizer(text, add_special_tokens=False)["input_ids"]) + 1


class ServedModel(PromptModel):
    """A server; tokens are counted with a tokenizer folder where one is given, else from bytes."""

    def __init__(
        self, url: str, model: str | None = None, tokenizer: Path | None = None, concurrency: int = 8,
        context: int | None = None,
    ) -> None:  # fmt: skip
        self._url, self._concurrency = url, concurrency
        self._model = model or served_model(url)
        self._tokenizer = _tokenizer(tokenizer) if tokenizer else None
        self.fingerprint = f"{url} {self._model}"
        self.name = f"{self._model} at {url}"
        self.counted = f"by the tokenizer in {tokenizer}" if tokenizer else "estimated at 4 bytes a token"
        self.context = context

    def answer(self, conversations: Sequence[Conversation], max_tokens: int, on_answer: OnAnswer) -> None:
        """Several requests at once."""
        settings = Settings(max_tokens=max_tokens, concurrency=self._concurrency)
        complete_many(self._url, self._model, conversations, settings=settings, on_answer=on_answer)

    def prompt_tokens(self, conversation: Conversation) -> int:
        """By the chat template where there is one."""
        if self._tokenizer is not None and self._tokenizer.chat_template:
            return len(prompt_ids(LocalModel(None, self._tokenizer), conversation))
        # Three tokens a message stand for its role and its end.
        return sum(self.text_tokens(message["content"]) + 3 for message in conversation)

    def text_tokens(self, text: str) -> int:
        """With one token for the end."""
        if self._tokenizer is not None:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"]) + 1
        return math.ceil(len(text.encode()) / _BYTES_PER_TOKEN) + 1


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as exc:
        raise EvaluationError(f"--tokenizer {folder}: cannot be read: {' '.join(str(exc).split())}") from exc
