"""Settings of the measurement (`training/configs/serving.yaml`)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from common.config import StrictModel


class ServingConfig(StrictModel):
    """One load, the same for every technique."""

    batch: int = Field(default=16, ge=1)
    """Dev inputs that are answered at once; fewer where the data set has fewer."""
    new_tokens: int = Field(default=32, ge=1)
    """Length of every answer: the end of the text is held back, so that all do the same work."""
    rounds: int = Field(default=7, ge=1)
    """Each technique has one turn a round, in an order drawn anew."""
    warm_up: int = Field(default=1, ge=0)
    """Turns of each before the first round that do not count."""
    precision: Literal["fp32"] = "fp32"
    """Adapters are loaded in it (`load_adapted`), so that whole models are too."""
    seed: int = Field(default=1, ge=0)
    """Draws the inputs and the order of the turns."""
