"""What training and serving cost by the price file (`training/configs/prices.yaml`)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from common.config import StrictModel

PRICE_FILE = Path(__file__).parents[1] / "configs" / "prices.yaml"


class MachinePrice(StrictModel):
    """One machine by the hour."""

    currency: str
    as_of: str
    source: str
    machine_per_hour: float = Field(ge=0)
    utilisation: float = Field(gt=0, le=1)
    """Share of the time that a server works at the measured rate."""

    def training(self, seconds: float) -> float:
        """Cost of a training run that takes `seconds`."""
        return seconds / 3600 * self.machine_per_hour

    def million_tokens(self, tokens_per_second: float) -> float:
        """Cost of a million output tokens of a server with that measured rate."""
        return self.machine_per_hour / (tokens_per_second * 3600 * self.utilisation) * 1e6
