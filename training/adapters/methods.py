"""From our settings to PEFT's: one function builds the adapter of any method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import TriviumError
from training.adapters.settings import (
    DoraMethod,
    Ia3Method,
    LoraMethod,
    Method,
    PrefixMethod,
    PromptMethod,
)

if TYPE_CHECKING:
    from peft import PeftConfig


class AdapterError(TriviumError):
    """An adapter cannot be made, read, or does not belong to the model it is used with."""


def peft_config(method: Method, base: Path, dropout: float = 0.0) -> PeftConfig:
    """PEFT's configuration of `method` on the model in folder `base`."""
    import peft

    task: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    if isinstance(method, LoraMethod | DoraMethod):
        targets = method.targets if isinstance(method.targets, str) else list(method.targets)
        return peft.LoraConfig(
            **task, r=method.rank, lora_alpha=method.alpha, lora_dropout=dropout, target_modules=targets,
            use_rslora=method.rank_stabilised, use_dora=isinstance(method, DoraMethod),
        )  # fmt: skip
    if isinstance(method, Ia3Method):
        return peft.IA3Config(
            **task, target_modules=list(method.targets), feedforward_modules=list(method.feedforward)
        )
    task["num_virtual_tokens"] = method.virtual_tokens
    if isinstance(method, PrefixMethod):
        if method.projection_size is not None:
            task |= {"prefix_projection": True, "encoder_hidden_size": method.projection_size}
        return peft.PrefixTuningConfig(**task)
    if isinstance(method, PromptMethod):
        init = {"vocabulary": "SAMPLE_VOCAB", "random": "RANDOM", "text": "TEXT"}[method.init]
        if method.init == "text":
            task |= {"prompt_tuning_init_text": method.text, "tokenizer_name_or_path": str(base)}
        return peft.PromptTuningConfig(**task, prompt_tuning_init=init)
    return peft.PromptEncoderConfig(
        **task, encoder_reparameterization_type=method.encoder, encoder_hidden_size=method.encoder_size
    )


def add_adapter(model: Any, method: Method, base: Path, dropout: float = 0.0) -> Any:
    """`model` (transformers) with a new adapter, all else frozen. Raises AdapterError where none fits."""
    from peft import get_peft_model

    try:
        return get_peft_model(model, peft_config(method, base, dropout))
    except ValueError as exc:
        reason = " ".join(str(exc).split())
        raise AdapterError(f"{base}: {method.method} does not fit this model: {reason}") from exc
