"""Settings of the alignment jobs (`training/configs/align-*.yaml`)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from common.config import StrictModel
from training.config import CheckpointConfig
from training.optim import OptimizerConfig

JudgeName = Literal["chrf", "slots", "lexicographic"]
LossName = Literal["dpo", "ipo", "kto", "orpo"]
Algorithm = Literal["ppo", "rloo", "grpo"]


class RewardConfig(StrictModel):
    """The verifiable reward of an answer: weights of its parts, each between 0 and 1."""

    slots: float = Field(default=1.0, ge=0)
    """1 - slot errors / slots asked for (evaluation/slots); only where the input is an attribute list."""
    bleu: float = Field(default=1.0, ge=0)
    """Sentence BLEU against the references; only where there are any."""

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not self.slots + self.bleu:
            raise ValueError("one of slots and bleu must be above 0")
        return self


class SamplingConfig(StrictModel):
    """How answers are drawn from a model."""

    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_new_tokens: int = Field(default=96, ge=1)
    batch_rows: int = Field(default=256, ge=1)
    """Answers that are decoded together."""


class PairConfig(StrictModel):
    """How preference pairs are made from the task by program: sample, score, pair best against worst."""

    inputs: int = Field(default=1000, ge=2)
    """Training inputs, drawn at random."""
    answers: int = Field(default=8, ge=2)
    """Sampled answers per input."""
    min_margin: float = Field(default=0.05, gt=0)
    """Least difference of reward between the two answers of a pair."""
    against: Literal["samples", "greedy"] = "samples"
    """What the best sample is paired with: the worst sample, or the greedy answer, which is what is served
    (where no sample is better by the margin, the greedy answer is preferred to the worst sample)."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the inputs whose pairs are for measuring only."""
    sampling: SamplingConfig = SamplingConfig()
    reward: RewardConfig = RewardConfig()


class JudgeConfig(StrictModel):
    """How the result is compared with the start model on dev inputs."""

    by: JudgeName | Literal["auto"] = "auto"
    """The judge whose win rate is the headline; `auto` takes one that the training reward does not hold:
    chrf, or slots where the reward is BLEU alone. All three are reported."""
    decoding: Literal["sampled", "greedy"] = "greedy"
    """Which answers the headline compares: the greedy ones, as the servers give them, or one sample per
    input at temperature 1, the distribution that the losses train and the KL is measured on. Both are
    reported."""
    inputs: int | None = Field(default=None, ge=2)
    """Dev inputs; all by default."""
    max_new_tokens: int = Field(default=128, ge=1)
    """Longest answer that is judged; no more than half of the model's context."""
    tie_chrf: float = Field(default=0.5, ge=0)
    """Sentence chrF points within which two answers are equally good."""
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples behind each interval."""
    reward: RewardConfig = RewardConfig()
    """Measured before and after, on sampled answers to the dev inputs."""


class AlignmentConfig(StrictModel):
    """Settings that all alignment jobs share. They compute in float32: ratios of probabilities need it."""

    start: Path = Field(alias="from")
    """Run folder or model folder of the fine-tuned model (`--from`)."""
    data: Path
    """A prepared data set."""
    output: Path
    """The run folder."""
    seed: int = Field(default=1, ge=0)
    threads: int = Field(default=0, ge=0)
    """0 uses OMP_NUM_THREADS or all cores."""
    row_tokens: int = Field(default=256, ge=16)
    """Positions in a packed row; a prompt with its answers must fit."""
    rows: int = Field(default=8, ge=1)
    """Packed rows of one gradient step."""
    optimizer: OptimizerConfig
    checkpoint: CheckpointConfig = CheckpointConfig()
    mlflow: bool = True


class MakePairsConfig(StrictModel):
    """`python -m training align pairs`."""

    start: Path = Field(alias="from")
    data: Path
    output: Path
    seed: int = Field(default=1, ge=0)
    threads: int = Field(default=0, ge=0)
    make: PairConfig = PairConfig()


class PairwiseConfig(AlignmentConfig):
    """Settings of jobs that learn from pairs."""

    pairs: Path | None = None
    """Folder of pairs; without it they are made as `make` says, in the run folder."""
    make: PairConfig = PairConfig()
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    """Gradient steps; takes the place of `epochs`."""


class RewardModelConfig(PairwiseConfig):
    """`python -m training align reward`."""


class PreferenceConfig(PairwiseConfig):
    """`python -m training align dpo`: DPO, IPO, KTO or ORPO."""

    loss: LossName = "dpo"
    beta: float = Field(default=0.1, gt=0)
    """Strength of the tie to the reference (in ORPO: weight of the odds-ratio term)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of pairs assumed to be labelled the wrong way round (DPO only)."""
    sft_weight: float = Field(default=0.0, ge=0)
    """Weight of the chosen answer's negative log-likelihood per token, added to DPO, IPO or KTO."""
    judge_on: Literal["data", "pairs"] = "data"
    """Where the inputs come from on which the result is judged: the data set's dev split, or the held-out
    pairs with their chosen answers as references (for pairs that people made)."""
    judge: JudgeConfig = JudgeConfig()


class RlhfConfig(AlignmentConfig):
    """`python -m training align rlhf`: PPO, RLOO or GRPO on a reward model or a verifiable reward."""

    algorithm: Algorithm = "grpo"
    reward_model: Path | None = None
    """Run folder of `align reward`; without it the verifiable reward is used."""
    reward: RewardConfig = RewardConfig()
    """The verifiable reward; beside a reward model it is only measured (`gold_reward`)."""
    steps: int = Field(default=40, ge=1)
    """Rollouts, each followed by `epochs` passes of updates."""
    prompts: int = Field(default=32, ge=1)
    """Inputs per rollout."""
    answers: int = Field(default=8, ge=1)
    """Answers per input; RLOO and GRPO compare them with each other."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the same rollout."""
    sampling: SamplingConfig = SamplingConfig()
    kl_coef: float = Field(default=0.02, ge=0)
    """Weight of the distance to the reference: in the reward (PPO per token, RLOO per answer) or in the loss
    (GRPO)."""
    max_kl: float = Field(default=60.0, gt=0)
    """Nats per answer beyond which the run is stopped as run away."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """Largest change of a token's probability ratio that is rewarded."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    value_coef: float = Field(default=0.1, ge=0)
    value_clip: float = Field(default=0.2, gt=0)
    entropy_coef: float = Field(default=0.0, ge=0)
    scale_by_std: bool = True
    """GRPO: divide by the group's standard deviation (False: Liu et al. 2025, Dr. GRPO)."""
    judge: JudgeConfig = JudgeConfig()

    @model_validator(mode="after")
    def _groups_can_be_compared(self) -> Self:
        if self.algorithm != "ppo" and self.answers < 2:
            raise ValueError(
                f"{self.algorithm} compares answers to the same input: answers must be at least 2"
            )
        return self
