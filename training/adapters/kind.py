"""How a job deals with an adapter: sizes, answers while training, and saving the adapter alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from training.adapters.files import WEIGHTS, write_adapter
from training.adapters.model import AdaptedModel
from training.examples import ChatTokenizer
from training.kinds import ModelKind, Sizes
from training.loop import Run
from training.model import ModelConfig


class AdapterKind(ModelKind[AdaptedModel]):
    """Adapters on the model in the folder `base`."""

    artifact = f"adapter/{WEIGHTS}"

    def __init__(self, base: Path) -> None:
        self._base = base

    def sizes(self, model: AdaptedModel) -> Sizes:
        """The context is what the virtual tokens leave of it."""
        config = model.base.config
        weights = list(model.parameters())
        return Sizes(
            context=config.max_position_embeddings - model.virtual_tokens,
            vocabulary=model.base.get_input_embeddings().num_embeddings,
            parameters=sum(p.numel() for p in weights),
            trainable=sum(p.numel() for p in weights if p.requires_grad),
            config={name: getattr(config, name, None) for name in ModelConfig.model_fields},
        )

    def recompute(self, model: AdaptedModel) -> None:
        """By transformers; inputs need a gradient, for nothing in front of the first block is trained."""
        model.base.gradient_checkpointing_enable({"use_reentrant": False})

    @torch.no_grad()
    def answer(
        self, model: AdaptedModel, prompts: Sequence[Sequence[int]], eos: int, max_new_tokens: int
    ) -> list[list[int]]:
        """By transformers, one prompt at a time: a look at a few samples."""
        answers = []
        context = model.base.config.max_position_embeddings - model.virtual_tokens
        training = model.training
        model.eval()
        for prompt in prompts:
            ids = torch.tensor([list(prompt)], device=model.base.device)
            output = model.peft.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, eos_token_id=eos,
                pad_token_id=eos, max_new_tokens=min(max_new_tokens, context - len(prompt)),
            )  # fmt: skip
            answers.append([token for token in output[0, len(prompt) :].tolist() if token != eos])
        model.train(training)
        return answers

    def save(self, run: Run[AdaptedModel], output: Path, tokenizer: ChatTokenizer) -> None:
        """`output/adapter/`, from the float32 master weights."""
        weights = run.optimizer.master_weights(run.model)
        run.model.float().load_state_dict(weights)
        write_adapter(run.model.peft, output / "adapter", self._base)
