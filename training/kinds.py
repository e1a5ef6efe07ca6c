"""What a job asks of a model besides its loss: sizes, answers, and how the trained weights are kept.

The loop trains any module for which there is an objective. Reading sizes, showing samples and saving differ
by the kind of model: our own Llama here, a PEFT adapter on transformers' model in `training/adapters/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from common.errors import ConfigError
from training.examples import ChatTokenizer
from training.generate import generate_greedy
from training.layout import save_model
from training.loop import Model, Run
from training.model import Llama


@dataclass(frozen=True, slots=True)
class Sizes:
    """What must be known of a model before it can be trained."""

    context: int
    """Most positions of a row."""
    vocabulary: int
    """Token ids that have an embedding."""
    parameters: int
    trainable: int
    config: dict[str, Any]
    """The model's sizes, for the record."""


def require_sizes(row_tokens: int, tokenizer: ChatTokenizer, sizes: Sizes) -> None:
    """Raise ConfigError where rows of `row_tokens` positions or the tokenizer's ids do not fit into the
    model."""
    if row_tokens > sizes.context:
        raise ConfigError(f"batch.row_tokens = {row_tokens} is beyond the model's context of {sizes.context}")
    if tokenizer.vocabulary > sizes.vocabulary:
        raise ConfigError(
            f"{tokenizer.folder}: has {tokenizer.vocabulary} token ids, the model only {sizes.vocabulary}; "
            "leave `tokenizer` out to take the model's own"
        )


class ModelKind(ABC, Generic[Model]):
    """The differences between kinds of models, as far as a job is concerned."""

    artifact: str
    """File in the run folder that is there once the result was saved."""

    @abstractmethod
    def sizes(self, model: Model) -> Sizes:
        """Context, vocabulary and number of weights."""

    @abstractmethod
    def recompute(self, model: Model) -> None:
        """Keep few activations for the backward pass and compute the others again."""

    @abstractmethod
    def answer(
        self, model: Model, prompts: Sequence[Sequence[int]], eos: int, max_new_tokens: int
    ) -> list[list[int]]:
        """Greedy answers to prompts of token ids, in order, without `eos`."""

    @abstractmethod
    def save(self, run: Run[Model], output: Path, tokenizer: ChatTokenizer) -> None:
        """Write the trained weights in float32 below `output`, whole or not at all."""


class OwnLlama(ModelKind[Llama]):
    """Our own module, saved as a whole model in the Hugging Face layout."""

    artifact = "model/model.safetensors"

    def sizes(self, model: Llama) -> Sizes:
        """Read off the configuration and the embedding."""
        return Sizes(
            context=model.config.max_position_embeddings, vocabulary=model.embedding.num_embeddings,
            parameters=model.parameter_count(),
            trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
            config=model.config.model_dump(),
        )  # fmt: skip

    def recompute(self, model: Llama) -> None:
        """Block by block."""
        model.recompute = True

    def answer(
        self, model: Llama, prompts: Sequence[Sequence[int]], eos: int, max_new_tokens: int
    ) -> list[list[int]]:
        """With a key-value cache, in batches."""
        return generate_greedy(model, prompts, eos, max_new_tokens)

    def save(self, run: Run[Llama], output: Path, tokenizer: ChatTokenizer) -> None:
        """`output/model/`; the master weights, for those inside the model may be rounded to bf16."""
        weights = run.optimizer.master_weights(run.model)
        save_model(output / "model", weights, run.model.config, tokenizer.folder, tokenizer.special)
