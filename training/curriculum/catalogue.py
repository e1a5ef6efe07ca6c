"""The techniques that the suite knows, each as the command that a person would type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Origin = Literal["tokenizer", "base", "full"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one technique is trained."""

    command: str
    """After `python -m`."""
    config: str
    """File under training/configs/, without the ending."""
    origin: Origin
    """What it starts or learns from: the tokenizer alone, the pretrained model, the fully fine-tuned one."""
    option: str = "from"
    """The option that takes the origin."""
    options: tuple[tuple[str, str], ...] = ()
    """Further options."""
    settings: tuple[str, ...] = ()
    needs: Literal["pairs", "reward"] | None = None
    """A stage of the suite whose output it takes by the option of that name (`--pairs`, `--reward-model`)."""
    row: tuple[str, str] | None = None
    """Label and family, where a second command (`training outcome`) writes the outcome."""


def _adapter(method: str) -> Recipe:
    return Recipe("training adapt", f"adapt-{method}", "base", options=(("method", method),))


def _distilled(mode: str) -> Recipe:
    return Recipe("training distil", "distil", "full", "teacher", options=(("mode", mode),))


def _preference(loss: str) -> Recipe:
    return Recipe("training align dpo", "align-dpo", "full", settings=(f"loss={loss}",), needs="pairs")


def _policy(algorithm: str, needs: Literal["reward"] | None = None) -> Recipe:
    return Recipe("training align rlhf", f"align-{algorithm}", "full", needs=needs)


CATALOGUE: dict[str, Recipe] = {
    "base": Recipe("training pretrain", "pretrain", "tokenizer", row=("Pretrained only", "baseline")),
    "full": Recipe("training sft", "sft", "base", row=("Full fine-tuning", "fine-tuning")),
    **{method: _adapter(method) for method in ("lora", "dora", "ia3", "prefix", "prompt", "ptuning")},
    **{f"distil-{mode}": _distilled(mode) for mode in ("none", "logits", "sequence")},
    **{loss: _preference(loss) for loss in ("dpo", "ipo", "kto", "orpo")},
    **{algorithm: _policy(algorithm) for algorithm in ("grpo", "rloo")},
    "ppo": _policy("ppo", needs="reward"),
    "prompt-search": Recipe("training prompts compare", "prompts", "full"),
}
"""Technique → recipe. `base` and `full` are always run: the others start from them."""

PAIRS = Recipe("training align pairs", "align-pairs", "full")
REWARD = Recipe("training align reward", "align-reward", "full", needs="pairs")
