"""From a candidate, an input and demonstrations to the conversation that a model is asked."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evaluation.errors import EvaluationError
from evaluation.prompting.candidates import Candidate
from evaluation.prompting.examples import Example
from evaluation.prompting.task import Format
from evaluation.prompts import Conversation

CountTokens = Callable[[Conversation], int]
_ATTRIBUTE = r"\s*([^\[\],]+?)\s*\[([^\[\]]*)\]\s*"
_LIST = re.compile(rf"{_ATTRIBUTE}(?:,{_ATTRIBUTE})*")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt and how much of the candidate is in it."""

    conversation: Conversation
    tokens: int
    demonstrations: int
    """Fewer than the candidate has where the context is too short."""
    wanted: int

    @property
    def is_cut(self) -> bool:
        """Whether demonstrations had to be left out."""
        return self.demonstrations < self.wanted


def reformat(content: str, form: Format) -> str:
    """The attribute lists among the lines of a text, written in another form."""
    if form == "as-is":
        return content
    return "\n".join(_line(line, form) if _LIST.fullmatch(line) else line for line in content.split("\n"))


def _line(line: str, form: Format) -> str:
    pairs = re.findall(_ATTRIBUTE, line)
    if form == "json":
        return json.dumps(dict(pairs), ensure_ascii=False)
    between, joint = {"colons": (": ", "; "), "lines": (": ", "\n"), "equals": (" = ", " | ")}[form]
    return joint.join(f"{name}{between}{value}" for name, value in pairs)


def choose(candidate: Candidate, example: Example, pool: Sequence[Example], seed: int) -> list[Example]:
    """The demonstrations of a candidate for an input, those that matter most last."""
    count = candidate.demonstrations
    if candidate.choice == "random":
        return random.Random(f"{seed}/demonstrations/{candidate.draw}").sample(list(pool), count)
    near = sorted(pool, key=lambda other: (_likeness(example.content, other.content), other.content))
    return near[len(near) - count :]


def _likeness(first: str, second: str) -> float:
    """Jaccard similarity of the words."""
    a, b = (set(re.findall(r"\w+", text.lower())) for text in (first, second))
    return len(a & b) / max(1, len(a | b))


def conversation(candidate: Candidate, example: Example, shown: Sequence[Example]) -> Conversation:
    """The messages, up to where the answer starts."""
    ordered = list(reversed(shown)) if candidate.order == "reversed" else list(shown)
    if ordered and candidate.layout == "text":
        blocks = [
            *(f"Input: {reformat(s.content, candidate.format)}\nOutput: {s.references[0]}" for s in ordered),
            f"Input: {reformat(example.content, candidate.format)}\nOutput:",
        ]
        return [{"role": "user", "content": _around(candidate, "\n\n".join(blocks))}]
    messages = []
    for one in ordered:
        messages += [
            {"role": "user", "content": _around(candidate, reformat(one.content, candidate.format))},
            {"role": "assistant", "content": one.references[0]},
        ]
    return [
        *messages,
        {"role": "user", "content": _around(candidate, reformat(example.content, candidate.format))},
    ]


def _around(candidate: Candidate, text: str) -> str:
    if "{input}" in candidate.instruction:
        return candidate.instruction.replace("{input}", text)
    return f"{candidate.instruction}{candidate.separator}{text}" if candidate.instruction else text


def fitted(
    candidate: Candidate,
    example: Example,
    pool: Sequence[Example],
    seed: int,
    count: CountTokens,
    room: int | None,
) -> Prompt:
    """The prompt with as many of its demonstrations as fit into `room` tokens (None: no limit).

    Raises EvaluationError where the input alone is too long.
    """
    shown = choose(candidate, example, pool, seed)
    while True:
        made = conversation(candidate, example, shown)
        tokens = count(made)
        if room is None or tokens <= room:
            return Prompt(made, tokens, len(shown), candidate.demonstrations)
        if not shown:
            words = candidate.instruction[:40]
            hint = f"shorten the instruction {words!r}, or " if words else ""
            raise EvaluationError(
                f"input {example.content[:60]!r}: {tokens} prompt tokens without any demonstration, and the "
                f"context leaves {room} for a prompt; {hint}lower max_tokens or raise context"
            )
        shown = shown[1:]
