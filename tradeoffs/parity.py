"""Parity: do all roads and formats give the golden answers, token by token?

The golden prompts were answered greedily by transformers in float32 when the bundle was built. A road
passes where its token ids are the same. Where they differ, the reference's own gap between its two best
logits at that step tells whether it was a tie that rounding decides (below 1e-4) or a real difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import httpx
from pydantic import BaseModel

from bundle.manifest import GoldenPrompt
from common.errors import TriviumError

TIE_GAP_NATS = 1e-4
REQUEST_TIMEOUT_SECONDS = 60.0


class ParityError(TriviumError):
    """A road did not answer a golden prompt, or answered without token ids."""

    exit_code = 1


class Difference(BaseModel):
    """The first step at which a road left the golden answer."""

    prompt: int
    """Index of the golden prompt."""
    position: int
    """Index of the token in the answer."""
    expected: int | None
    """Token id; None where the golden answer had ended."""
    actual: int | None
    gap_nats: float | None
    """Best minus second-best logit of the reference at this step."""

    @property
    def is_tie(self) -> bool:
        """Whether rounding alone can decide this step."""
        return self.gap_nats is not None and self.gap_nats < TIE_GAP_NATS


class Parity(BaseModel):
    """How many golden prompts were answered exactly, and the first difference of each that was not."""

    n: int
    exact: int
    differences: list[Difference] = []

    @property
    def exact_share(self) -> float:
        """Exactly answered prompts of all, 0 to 1."""
        return self.exact / self.n

    @property
    def explained(self) -> bool:
        """All exact, or each difference a logit tie."""
        return all(difference.is_tie for difference in self.differences)


def compare(golden: Sequence[GoldenPrompt], answers: Sequence[Sequence[int]], eos_ids: set[int]) -> Parity:
    """Compare the token ids that a road gave, one list per golden prompt; end-of-sequence ids are ignored."""
    differences = []
    for index, (expected, answer) in enumerate(zip(golden, answers, strict=True)):
        kept = [token for token in answer if token not in eos_ids]
        found = _first_difference(index, expected, kept)
        if found is not None:
            differences.append(found)
    return Parity(n=len(golden), exact=len(golden) - len(differences), differences=differences)


def _first_difference(index: int, golden: GoldenPrompt, answer: Sequence[int]) -> Difference | None:
    expected = golden.expected_token_ids
    if list(answer) == expected:
        return None
    pairs = zip(expected, answer, strict=False)
    position = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(answer)))
    gaps = golden.top_logit_gaps
    return Difference(
        prompt=index,
        position=position,
        expected=expected[position] if position < len(expected) else None,
        actual=answer[position] if position < len(answer) else None,
        gap_nats=gaps[position] if position < len(gaps) else None,
    )


def ask(base_url: str, model: str, golden: Sequence[GoldenPrompt]) -> list[list[int]]:
    """The token ids with which the server at `base_url` answers the golden prompts, greedily.

    Raises ParityError where an answer is refused or has no token ids.
    """
    answers = []
    with httpx.Client(base_url=base_url, timeout=REQUEST_TIMEOUT_SECONDS) as client:
        for index, prompt in enumerate(golden):
            body = {
                "model": model,
                "messages": [message.model_dump() for message in prompt.messages],
                "max_tokens": max(1, len(prompt.top_logit_gaps)),
                "temperature": 0,
                "return_token_ids": True,
            }
            try:
                response = client.post("/v1/chat/completions", json=body)
                response.raise_for_status()
                answers.append(list(response.json()["choices"][0]["token_ids"]))
            except (httpx.HTTPError, KeyError, TypeError, ValueError) as exc:
                raise ParityError(f"{base_url}: golden prompt {index} was not answered: {exc!r}") from exc
    return answers
