"""What a model is asked: conversations read from input files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.corpora import INPUT_COLUMNS, column_of, kind_of, read_jsonl, read_lines, read_table
from evaluation.errors import EvaluationError

Message = dict[str, str]
Conversation = list[Message]
"""Messages up to and including the last user message: `[{"role": "user", "content": …}]`."""


def as_conversation(prompt: str | Sequence[Message]) -> Conversation:
    """A user message, or the conversation itself."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


def load_prompts(path: Path, template: str = "{input}") -> list[Conversation]:
    """Prompts to generate from, one per wanted output.

    Text: one per line. CSV/TSV: the distinct values of `mr` (or `input`) in order of first appearance. JSONL:
    the distinct `input`s, or `messages` without a closing assistant message. `template` wraps inputs that are
    plain text. Raises EvaluationError for a file without prompts, with an empty one, or of the wrong form.
    """
    if template.count("{input}") != 1:
        raise EvaluationError(f"template {template!r}: it must contain {{input}} exactly once")
    kind = kind_of(path)
    if kind == "jsonl":
        prompts = [_from_json(path, number, row, template) for number, row in read_jsonl(path)]
        prompts = list({str(prompt): prompt for prompt in prompts}.values())
    else:
        texts = _from_lines(path) if kind == "text" else _from_table(path, kind)
        prompts = [as_conversation(template.replace("{input}", text)) for text in texts]
    if not prompts:
        raise EvaluationError(f"{path}: no inputs in it")
    return prompts


def _from_lines(path: Path) -> list[str]:
    lines = [line.strip() for line in read_lines(path)]
    while lines and not lines[-1]:
        lines.pop()
    empty = next((number for number, line in enumerate(lines, start=1) if not line), None)
    if empty is not None:
        raise EvaluationError(f"{path}:{empty}: empty line; every line is an input")
    return lines


def _from_table(path: Path, kind: str) -> list[str]:
    header, rows = read_table(path, kind)
    column = column_of(path, header, INPUT_COLUMNS)
    texts = list(dict.fromkeys(row[column].strip() for row in rows))
    if "" in texts:
        raise EvaluationError(f"{path}: a row has an empty {header[column]}")
    return texts


def _from_json(path: Path, number: int, row: dict[str, Any], template: str) -> Conversation:
    where = f"{path}:{number}"
    if "messages" not in row:
        source = row.get("input")
        if not isinstance(source, str) or not source.strip():
            raise EvaluationError(f'{where}: expected "input": text, or "messages"')
        return as_conversation(template.replace("{input}", source.strip()))
    messages = row["messages"]
    if not isinstance(messages, list) or not all(is_message(m) for m in messages):
        raise EvaluationError(f'{where}: "messages" must be a list of {{"role": text, "content": text}}')
    kept = messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages
    if not kept or kept[-1]["role"] != "user":
        raise EvaluationError(f"{where}: the conversation has no user message to answer")
    return [{"role": m["role"], "content": m["content"]} for m in kept]


def is_message(value: object) -> bool:
    """Whether this is `{"role": text, "content": text}`."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("role"), str)
        and isinstance(value.get("content"), str)
    )
