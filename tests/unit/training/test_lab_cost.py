"""Build or buy: sums that a reader can do by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.config import read_yaml
from common.errors import ConfigError
from training.labs.cost import (
    SECONDS_PER_MONTH,
    api_per_month,
    break_even,
    job_flops,
    machines,
    options,
    own_per_month,
    request_price,
    table,
)
from training.labs.cost_config import CostConfig

pytestmark = pytest.mark.unit

PRICES = Path(__file__).parents[3] / "training/configs/lab-prices.yaml"


def prices(**changes: Any) -> CostConfig:
    return CostConfig.from_dict({**read_yaml(PRICES), **changes}, "test")


def test_the_hours_are_flops_over_speed() -> None:
    config = prices()
    job, node = config.jobs["pretrain"], config.hardware["gpu-node"]
    found = options(config)[0]
    expected = job_flops(job) * job.tokens / (node.peak_flops * node.share * node.devices) / 3600
    assert found.hours == pytest.approx(expected * job.attempts)
    assert found.once == pytest.approx(expected * job.attempts * node.per_hour + 400 * 60)


def test_a_request_costs_its_tokens() -> None:
    assert request_price(prices()) == pytest.approx((600 * 0.5 + 200 * 1.5) / 1e6)


@pytest.mark.parametrize("per_hour", [0.05, 0.6, 5.0])
@pytest.mark.parametrize("once", [0.0, 5e3, 1e6])
def test_below_the_break_even_the_api_is_cheaper_and_from_it_on_it_is_not(
    per_hour: float, once: float
) -> None:
    config = prices(serving={"per_hour": per_hour, "requests_per_second": 4.0, "people_hours_per_month": 8})
    even = break_even(config, once)
    assert even is not None
    assert own_per_month(config, once, even * 1.0001) <= api_per_month(config, even * 1.0001)
    for share in (0.2, 0.6, 0.95):
        assert own_per_month(config, once, even * share) >= api_per_month(config, even * share)


def test_a_machine_dearer_than_the_api_never_pays() -> None:
    serving = {"per_hour": 50.0, "requests_per_second": 4.0}
    assert break_even(prices(serving=serving), 1e6) is None
    free = {"what": "free", "per_million_prompt_tokens": 0.0, "per_million_answer_tokens": 0.0}
    assert break_even(prices(api=free), 1.0) is None
    assert "never at these prices" in table(prices(api=free), options(prices(api=free)))


def test_more_requests_than_a_machine_can_serve_need_another() -> None:
    config = prices()
    full = config.serving.requests_per_second * SECONDS_PER_MONTH
    assert [machines(config, share * full) for share in (0.1, 1.0, 1.1, 2.5)] == [1, 1, 2, 3]


def test_adapters_cost_less_than_full_fine_tuning() -> None:
    found = {option.name: option for option in options(prices())}
    assert found["lora"].flops < found["fine-tune"].flops < found["pretrain"].flops


def test_the_shipped_prices_say_that_they_are_examples() -> None:
    text = table(prices(), options(prices()))
    assert "example" in text.splitlines()[0]
    assert "cheapest first" in text


def test_a_job_on_unpriced_hardware_is_refused() -> None:
    jobs = read_yaml(PRICES)["jobs"]
    with pytest.raises(ConfigError, match=r"jobs\.lora\.hardware is 'moon', priced are gpu-node, two-cores"):
        prices(jobs={**jobs, "lora": {**jobs["lora"], "hardware": "moon"}})
