"""A transformers model with a PEFT adapter, behind the interface that our loop trains: packed rows of texts.

PEFT's own forward pass knows rows that hold one text each. Here many texts share a row, and virtual tokens
(prefix, prompt, P-tuning) need only one copy in it: they look at nothing but themselves, so their states are
the same for every text behind them. Masks and positions give each text exactly the loss that it gets alone in
PEFT (tested).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from training.loss import cross_entropy_sum
from training.packing import Batch


class AdaptedModel(nn.Module):
    """`peft` is a PeftModelForCausalLM whose base model is frozen."""

    def __init__(self, peft: Any) -> None:
        super().__init__()
        self.peft = peft
        config = peft.active_peft_config
        self.virtual_tokens: int = config.num_virtual_tokens if config.is_prompt_learning else 0
        self.is_prefix: bool = config.peft_type == "PREFIX_TUNING"

    @property
    def base(self) -> Any:
        """The transformers model; for LoRA and its like with the adapter's layers inside."""
        return self.peft.get_base_model()

    def forward(self, tokens: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """Token ids [B, T], positions [B, T] and visibility [B, T, T] to hidden states [B, T, H]."""
        inputs: dict[str, Any] = {"inputs_embeds": self.base.get_input_embeddings()(tokens)}
        if self.virtual_tokens:
            positions, visible = self._behind_virtual_tokens(positions, visible, inputs)
        states = self.base.get_decoder()(
            **inputs, attention_mask=visible[:, None], position_ids=positions
        ).last_hidden_state
        return states[:, -tokens.shape[1] :]  # type: ignore[no-any-return]

    def _behind_virtual_tokens(
        self, positions: Tensor, visible: Tensor, inputs: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """Put the virtual tokens in front of `inputs`; returns the positions and the visibility that go with
        them: [B, T] and [B, T, V+T] where they are a cache, else [B, V+T] and [B, V+T, V+T]."""
        rows, length = positions.shape
        virtual = self.virtual_tokens
        soft = self.peft.get_prompt(batch_size=rows)
        positions = positions + virtual
        visible = torch.cat((visible.new_ones(rows, length, virtual), visible), dim=2)
        if self.is_prefix:
            inputs["past_key_values"] = soft
            return positions, visible
        embedded = inputs["inputs_embeds"]
        inputs["inputs_embeds"] = torch.cat((soft.to(embedded.dtype), embedded), dim=1)
        places = torch.arange(virtual, device=positions.device).expand(rows, -1)
        above = visible.new_ones(virtual, virtual + length).tril().expand(rows, -1, -1)
        return torch.cat((places, positions), dim=1), torch.cat((above, visible), dim=1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Rotary frequencies are buffers; in bf16 their angles would be wrong by up to half a radian.
        kept = [
            (module, name, buffer)
            for module in self.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None and buffer.is_floating_point()
        ]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module, name, buffer in kept:
            now = module._buffers[name]
            module._buffers[name] = buffer if now is None else buffer.to(now.device)
        return self


def adapter_loss(model: AdaptedModel, batch: Batch) -> Tensor:
    """Summed cross-entropy over the batch's targets, in nats."""
    hidden = model(batch.tokens, batch.positions, batch.visible)
    output = model.base.get_output_embeddings().weight
    return cross_entropy_sum(hidden.flatten(0, 1), output, batch.targets.flatten())
