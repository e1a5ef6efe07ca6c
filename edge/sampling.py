"""From logits to a token: temperature, top-k, top-p, a seed of the request's own, log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.engine import Logits


@dataclass(frozen=True)
class SamplingParams:
    """What a request asks of the decoder."""

    max_tokens: int
    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 keeps the whole vocabulary."""
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    """How many alternatives to report beside each chosen token; None reports nothing."""
    ignore_eos: bool = False


@dataclass(frozen=True)
class TokenLogprob:
    """Natural logarithms of the model's own probabilities, before temperature and cuts."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    """The most probable tokens and their log-probabilities, best first."""


class Sampler:
    """Chooses the tokens of one request; the same seed and logits give the same tokens."""

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self._greedy = params.temperature == 0 or params.top_k == 1
        self._random = None if self._greedy else np.random.default_rng(params.seed)

    def pick(self, logits: Logits) -> int:
        """The next token for `logits` [vocab_size]."""
        if self._random is None:
            return int(logits.argmax())
        kept, scaled = self._kept(logits.astype(np.float64) / self._params.temperature)
        weights = np.exp(scaled - scaled[0])
        cumulative = np.cumsum(weights)
        if self._params.top_p < 1.0:
            # The smallest set of tokens whose probability reaches top_p (Holtzman et al., 2020).
            last = int(np.searchsorted(cumulative, self._params.top_p * cumulative[-1]))
            cumulative = cumulative[: last + 1]
        drawn = self._random.random() * cumulative[-1]
        return int(kept[min(int(np.searchsorted(cumulative, drawn, side="right")), len(cumulative) - 1)])

    def logprob(self, logits: Logits, token: int) -> TokenLogprob | None:
        """What to report for `token`, or None where the request asked for nothing."""
        count = self._params.logprobs
        if count is None:
            return None
        values = _log_softmax(logits)
        best = _largest(values, count)
        top = tuple((int(i), float(values[i])) for i in best)
        return TokenLogprob(token, float(values[token]), top)

    def _kept(self, scaled: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The tokens that top-k leaves, most probable first, and their scaled logits."""
        count = self._params.top_k or len(scaled)
        kept = _largest(scaled, min(count, len(scaled)))
        return kept, scaled[kept]


def _log_softmax(logits: Logits) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - float(logits.max())
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return result


def _largest(values: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Indices of the `count` largest values, largest first; ties by the lower index."""
    if count < len(values) // 4:
        candidates = np.sort(np.argpartition(-values, count)[:count]) if count else np.empty(0, np.intp)
        return candidates[np.argsort(-values[candidates], kind="stable")]
    return np.argsort(-values, kind="stable")[:count]
