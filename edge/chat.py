"""Messages to prompt text: the bundle's chat template in a sandbox, as transformers renders it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edge.layout import LayoutError

_SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatError(ValueError):
    """These messages cannot be put into the model's template; the text says why."""


class ChatTemplate:
    """The template of one bundle."""

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        """Compile `source`. Raises LayoutError when it is not a valid template."""
        # The settings that templates are written for (transformers.utils.chat_template_utils).
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        try:
            self._template = environment.from_string(source)
        except TemplateError as exc:
            raise LayoutError(f"the chat template is not valid: {exc}") from exc
        self._special_tokens = special_tokens

    @classmethod
    def read(cls, folder: Path) -> ChatTemplate | None:
        """The template in a tokenizer folder, or None where it has none (a base model)."""
        path = folder / "tokenizer_config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            beside = folder / "chat_template.jinja"
            source = beside.read_text(encoding="utf-8") if beside.is_file() else config.get("chat_template")
        except (OSError, ValueError, AttributeError) as exc:
            raise LayoutError(f"{path}: cannot be read: {exc}") from exc
        if source is None:
            return None
        if not isinstance(source, str):
            raise LayoutError(f"{path}: chat_template must be one text; several named ones are not supported")
        named = {name: _token_text(config.get(name)) for name in _SPECIAL_TOKENS}
        return cls(source, {name: text for name, text in named.items() if text is not None})

    def render(self, messages: list[dict[str, str]]) -> str:
        """The prompt, ready for the assistant's turn. Raises ChatError."""
        try:
            return self._template.render(
                messages=messages, add_generation_prompt=True, tools=None, documents=None,
                **self._special_tokens,
            )  # fmt: skip
        except (TemplateError, TypeError, ValueError) as exc:
            raise ChatError(f"the chat template refuses these messages: {exc}") from exc


def _token_text(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _to_json(value: Any, indent: int | None = None) -> str:
    # Jinja's own filter escapes HTML characters, which prompts must keep.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)
