"""What a million output tokens cost on each road, with the arithmetic in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from common.config import StrictModel
from tradeoffs.report.model import CurvePoint, Lane

PRICE_FILE = Path(__file__).parents[1] / "prices.yaml"
HOURS_PER_YEAR = 8766.0
HOURS_PER_MONTH = HOURS_PER_YEAR / 12

Amount = Annotated[float, Field(ge=0)]


class RoadPrice(StrictModel):
    """One road's machine: rented, bought, or both."""

    what: str
    rent_per_hour: Amount = 0.0
    purchase: Amount = 0.0
    lifetime_years: float = Field(default=4.0, gt=0)
    power_watts: Amount = 0.0
    upkeep_hours_per_month: Amount = 0.0
    upkeep_shared_by: int = Field(default=1, gt=0)
    """Machines, models or tenants that the same upkeep hours serve."""
    utilisation: float = Field(gt=0, le=1)
    """Share of the time that it works at the measured rate."""
    relative_speed: float = Field(default=1.0, gt=0)
    """Speed of the priced machine against the measured one. An assumption, not a measurement."""

    @property
    def upkeep_hours(self) -> float:
        """Hours of work a month for this machine alone."""
        return self.upkeep_hours_per_month / self.upkeep_shared_by


class Prices(StrictModel):
    """The price file."""

    currency: str
    as_of: str
    source: str
    electricity_per_kwh: Amount
    wage_per_hour: Amount
    roads: dict[str, RoadPrice]


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one lane."""

    per_hour: float
    tokens_per_second: float
    """Measured, on the machine of the measurements."""
    per_million: float
    steps: tuple[str, ...]
    """The arithmetic, one line each."""


def load_prices(path: Path = PRICE_FILE) -> Prices:
    """Read the price file. Raises ConfigError naming the file and the key."""
    return Prices.from_yaml(path)


def best_sustained(lane: Lane) -> CurvePoint | None:
    """The point of the ladder with the highest rate that the lane sustained; None where there is none."""
    return max((p for p in lane.curve if p.sustained), key=lambda p: p.offered_rate, default=None)


def capacity_is_lower_bound(lane: Lane) -> bool:
    """Whether the ladder ended (or a run was not valid) before the lane itself failed at a higher rate."""
    best = best_sustained(lane)
    return best is not None and not any(
        point.saturated or (point.valid and not point.slo_attained)
        for point in lane.curve
        if point.offered_rate > best.offered_rate
    )


def cost(lane: Lane, prices: Prices) -> Cost | None:
    """What the lane costs; None where the price file leaves its road out or no throughput was measured."""
    price = prices.roads.get(lane.road)
    throughput = _throughput(lane)
    if price is None or throughput is None or throughput[0] <= 0:
        return None
    tokens_per_second, basis = throughput
    parts, steps = _per_hour(price, prices)
    per_hour = sum(parts)
    tokens_per_hour = tokens_per_second * 3600 * price.utilisation * price.relative_speed
    per_million = per_hour / tokens_per_hour * 1e6
    steps += [
        f"together: {per_hour:.4f} {prices.currency}/h",
        f"tokens: {tokens_per_second:,.0f} output tokens/s ({basis}) × 3,600 s × {price.utilisation:.0%} "
        f"utilisation × {price.relative_speed:g} relative speed = {tokens_per_hour / 1e6:.3f} million/h",
        f"cost: {per_hour:.4f} / {tokens_per_hour / 1e6:.3f} = {per_million:.4f} {prices.currency} "
        "per million output tokens",
    ]
    return Cost(per_hour, tokens_per_second, per_million, tuple(steps))


def _throughput(lane: Lane) -> tuple[float, str] | None:
    if point := best_sustained(lane):
        return point.output_tokens_per_second, f"highest sustained rate, {point.offered_rate:.1f} requests/s"
    if lane.load and lane.load.valid:
        return lane.load.output_tokens_per_second, f"scenario {lane.load.scenario}, not the highest rate"
    return None


def _per_hour(price: RoadPrice, prices: Prices) -> tuple[list[float], list[str]]:
    parts, steps = [], []
    if price.rent_per_hour:
        parts.append(price.rent_per_hour)
        steps.append(f"rent: {price.rent_per_hour:.4f} {prices.currency}/h")
    if price.purchase:
        parts.append(price.purchase / (price.lifetime_years * HOURS_PER_YEAR))
        steps.append(
            f"machine: {price.purchase:,.0f} {prices.currency} / ({price.lifetime_years:g} years × "
            f"{HOURS_PER_YEAR:,.0f} h) = {parts[-1]:.4f} {prices.currency}/h"
        )
    if price.power_watts:
        parts.append(price.power_watts / 1000 * prices.electricity_per_kwh)
        steps.append(
            f"power: {price.power_watts:g} W × {prices.electricity_per_kwh:g} {prices.currency}/kWh = "
            f"{parts[-1]:.4f} {prices.currency}/h"
        )
    if price.upkeep_hours_per_month:
        parts.append(price.upkeep_hours * prices.wage_per_hour / HOURS_PER_MONTH)
        steps.append(
            f"upkeep: {price.upkeep_hours_per_month:g} h/month × {prices.wage_per_hour:g} "
            f"{prices.currency}/h / {HOURS_PER_MONTH:.1f} h / {price.upkeep_shared_by} sharing it = "
            f"{parts[-1]:.4f} {prices.currency}/h"
        )
    return parts, steps
