"""Does a variant say what the fp32 reference says? Greedy answers to the bundle's golden prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundle import Bundle
from edge.engine import TokenEngine
from edge.layout import ModelLayout


@dataclass(frozen=True)
class Parity:
    """Over all golden prompts: whole answers that match, and tokens before the first difference."""

    prompts: int
    exact: int
    tokens: int
    tokens_before_difference: int
    worst_gap: float | None
    """The largest top-1 minus top-2 logit (of the reference) at a first difference; None: no difference."""

    def __str__(self) -> str:
        share = self.tokens_before_difference / max(self.tokens, 1)
        text = f"{self.exact}/{self.prompts} golden answers exact, {share:.1%} of tokens before a difference"
        return text if self.worst_gap is None else f"{text}, largest logit gap at one {self.worst_gap:.2g}"


def golden_parity(bundle: Bundle, variant: str, threads: int = 1) -> Parity:
    """Run the golden prompts through `variant`. Raises TriviumError where it cannot be loaded."""
    return compare(bundle, bundle.path / "onnx" / variant, threads)


def compare(bundle: Bundle, folder: Path, threads: int = 1) -> Parity:
    """Run the golden prompts through the exported model in `folder`."""
    from edge.ort_engine import OrtEngine

    layout = ModelLayout.read(folder)
    engine = OrtEngine(layout, max_sequences=1, threads=threads)
    eos = frozenset(layout.eos_token_ids)
    exact = tokens = same = 0
    gaps = []
    for golden in bundle.manifest.golden:
        expected = golden.expected_token_ids
        answer = greedy(engine, golden.prompt_token_ids, len(expected) + 1, eos)[: len(expected) + 1]
        ended = len(golden.top_logit_gaps) > len(expected)
        # Without an end of sequence the reference was cut, and one token more says nothing.
        answer = answer if ended else answer[: len(expected)]
        prefix = _common_prefix(answer, expected)
        tokens += len(expected)
        same += prefix
        if answer == expected:
            exact += 1
        elif prefix < len(golden.top_logit_gaps):
            gaps.append(golden.top_logit_gaps[prefix])
    return Parity(len(bundle.manifest.golden), exact, tokens, same, max(gaps, default=None))


def greedy(engine: TokenEngine, prompt: list[int], max_tokens: int, eos: frozenset[int]) -> list[int]:
    """The most probable continuation, token by token, without the end-of-sequence token."""
    slot = engine.open()
    try:
        token = int(engine.prefill(slot, prompt).argmax())
        answer: list[int] = []
        while token not in eos and len(answer) < max_tokens:
            answer.append(token)
            if len(answer) == max_tokens or slot.length == engine.context_length:
                break
            token = int(engine.decode({slot: token})[slot.row].argmax())
        return answer
    finally:
        engine.close(slot)


def _common_prefix(left: list[int], right: list[int]) -> int:
    pairs = zip(left, right, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(left), len(right)))
