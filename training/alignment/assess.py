"""Start model against result on the dev inputs: win rates, quality, reward before and after, KL."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from evaluation.corpora import References
from training.alignment.config import JudgeConfig, JudgeName, RewardConfig, SamplingConfig
from training.alignment.judge import (
    Judge,
    MeanWithInterval,
    WinRate,
    examples,
    headline_judge,
    mean_with_interval,
    win_rates,
)
from training.alignment.rewards import VerifiableReward
from training.alignment.sequences import AnswerRows, answer_log_probs
from training.alignment.tasks import Start, TaskInput, that_fit
from training.generate import Answer, generate_greedy, generate_sampled
from training.model import Llama
from training.outcome import Figure
from training.packing import Tokens
from training.quality import figures_of

_ROWS = 8
_EXAMPLES = 20


@dataclass(slots=True)
class Assessment:
    """What was found on the dev inputs."""

    judged_by: JudgeName
    decoding: Literal["sampled", "greedy"]
    greedy: dict[JudgeName, WinRate]
    """By judge: greedy answers of the result against those of the start model."""
    sampled: dict[JudgeName, WinRate]
    """The same with one sampled answer per input (temperature 1)."""
    kl: MeanWithInterval
    """KL(result || start) in nats per answer, estimated on the result's own samples."""
    reward_start: MeanWithInterval
    """The verifiable reward of the start model's samples."""
    reward_end: MeanWithInterval
    length_start: float
    """Mean tokens of a sampled answer, the end token included."""
    length_end: float
    figures: list[Figure]
    """Quality of the greedy answers of the result."""
    figures_start: list[Figure]
    examples: list[dict[str, Any]]
    inputs: list[str]
    """What was asked."""
    answers: list[str]
    """The result's greedy answers to `inputs`."""

    @property
    def headline(self) -> WinRate:
        """The win rate that counts."""
        return (self.sampled if self.decoding == "sampled" else self.greedy)[self.judged_by]

    def report(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "judged_by": self.judged_by,
            "decoding": self.decoding,
            "win_rates_greedy": {name: rate.model_dump() for name, rate in self.greedy.items()},
            "win_rates_sampled": {name: rate.model_dump() for name, rate in self.sampled.items()},
            "kl": self.kl.model_dump(),
            "reward_start": self.reward_start.model_dump(),
            "reward_end": self.reward_end.model_dump(),
            "answer_tokens_start": self.length_start,
            "answer_tokens_end": self.length_end,
            "figures": [figure.model_dump() for figure in self.figures],
            "figures_start": [figure.model_dump() for figure in self.figures_start],
        }


def assess(
    policy: Llama,
    start: Start,
    dev: Sequence[TaskInput],
    config: JudgeConfig,
    trained_on: RewardConfig | None,
    seed: int,
) -> Assessment:
    """Compare `policy` with the start model on held-out inputs. Raises AlignmentError where they allow no
    verdict."""
    sampling, inputs, prompts, judge = _asked(start, dev, config)
    by = headline_judge(config, trained_on, judge.judges)
    print(f"judging on {len(inputs)} dev inputs", file=sys.stderr)
    before, after = (_greedy(model, start, prompts, sampling) for model in (start.model, policy))
    samples = [_sampled(model, start, prompts, sampling, seed) for model in (start.model, policy)]
    texts = [[start.tokenizer.decode(answer.tokens) for answer in answers] for answers in samples]
    reward = VerifiableReward(config.reward, inputs)
    rewards = [
        [reward(i, text, ended=a.ended) for i, (a, text) in enumerate(zip(answers, written, strict=True))]
        for answers, written in zip(samples, texts, strict=True)
    ]
    verdicts = judge.compare(after, before)
    return Assessment(
        judged_by=by, decoding=config.decoding,
        greedy=win_rates(verdicts, config.resamples, seed),
        sampled=win_rates(judge.compare(texts[1], texts[0]), config.resamples, seed),
        kl=mean_with_interval(
            kl_to_reference(policy, start.model, prompts, samples[1]), config.resamples, seed
        ),
        reward_start=mean_with_interval(rewards[0], config.resamples, seed),
        reward_end=mean_with_interval(rewards[1], config.resamples, seed),
        length_start=_mean_length(samples[0]), length_end=_mean_length(samples[1]),
        figures=_figures(inputs, after), figures_start=_figures(inputs, before),
        examples=examples(inputs, before, after, verdicts[by], _EXAMPLES),
        inputs=[item.text for item in inputs], answers=after,
    )  # fmt: skip


def assess_greedy(
    policy: Llama, start: Start, dev: Sequence[TaskInput], config: JudgeConfig, seed: int
) -> dict[str, Any]:
    """Win rates and quality of greedy answers alone, in the form of `Assessment.report`.

    Raises AlignmentError where the inputs allow no verdict.
    """
    sampling, inputs, prompts, judge = _asked(start, dev, config)
    before, after = (_greedy(model, start, prompts, sampling) for model in (start.model, policy))
    rates = win_rates(judge.compare(after, before), config.resamples, seed)
    return {
        "decoding": "greedy",
        "win_rates_greedy": {name: rate.model_dump() for name, rate in rates.items()},
        "figures": [figure.model_dump() for figure in _figures(inputs, after)],
        "figures_start": [figure.model_dump() for figure in _figures(inputs, before)],
    }


def kl_to_reference(
    policy: Llama, reference: Llama, prompts: Sequence[Tokens], answers: Sequence[Answer]
) -> list[float]:
    """log policy - log reference of each answer, which the policy has sampled at temperature 1, in nats."""
    longest = max(len(p) + len(a.tokens) for p, a in zip(prompts, answers, strict=True))
    rows = AnswerRows(prompts, [[answer.tokens] for answer in answers], longest, 0)
    device = policy.embedding.weight.device
    ours, theirs = (answer_log_probs(model, rows, _ROWS, device) for model in (policy, reference))
    return [float(a.sum() - b.sum()) for a, b in zip(ours, theirs, strict=True)]


def _asked(
    start: Start, dev: Sequence[TaskInput], config: JudgeConfig
) -> tuple[SamplingConfig, list[TaskInput], list[Tokens], Judge]:
    """How answers are made, the inputs that leave room for one, their prompts, and who compares them."""
    room = min(config.max_new_tokens, start.model.config.max_position_embeddings // 2)
    inputs, prompts = that_fit(dev[: config.inputs], start, room, "held-out inputs")
    return SamplingConfig(max_new_tokens=room), inputs, prompts, Judge(inputs, config.tie_chrf)


def _greedy(model: Llama, start: Start, prompts: Sequence[Tokens], sampling: SamplingConfig) -> list[str]:
    ids = [prompt.tolist() for prompt in prompts]
    answers = generate_greedy(model, ids, start.eos, sampling.max_new_tokens, sampling.batch_rows)
    return [start.tokenizer.decode(answer) for answer in answers]


def _sampled(
    model: Llama, start: Start, prompts: Sequence[Tokens], sampling: SamplingConfig, seed: int
) -> list[Answer]:
    ids = [prompt.tolist() for prompt in prompts]
    found = generate_sampled(
        model, ids, start.eos, sampling.max_new_tokens, torch.Generator().manual_seed(seed),
        batch_rows=sampling.batch_rows,
    )  # fmt: skip
    return [answer for (answer,) in found]


def _mean_length(answers: Sequence[Answer]) -> float:
    return sum(len(answer.tokens) for answer in answers) / len(answers)


def _figures(inputs: Sequence[TaskInput], answers: Sequence[str]) -> list[Figure]:
    return figures_of(
        answers, References([item.text for item in inputs], [item.references for item in inputs])
    )
