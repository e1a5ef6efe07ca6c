"""`python -m training lab cost`: train a model of your own, adapt one, or pay by the token.

Training: FLOPs / (peak x share x devices) = hours; spread over the months that the model serves. A month
costs what training, serving and work cost, an API what each request costs; they meet at the break-even. All
arithmetic is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.labs.arithmetic import lora_flops, lora_parameters, parameter_count, training_flops
from training.labs.cost_config import CostConfig, TrainingConfig

HOURS_PER_MONTH = 730.5
SECONDS_PER_MONTH = HOURS_PER_MONTH * 3600


@dataclass(frozen=True, slots=True)
class Option:
    """One way to serve the requests."""

    name: str
    once: float
    """Before the first request."""
    per_month: float
    """At the price file's requests a month, what is paid once spread over the model's life included."""
    flops: float
    """Of one run."""
    hours: float
    """Of all runs."""
    break_even: float | None
    """Requests a month from which it is cheaper than the API; None for the API itself or where never."""
    steps: tuple[str, ...]
    """The arithmetic, one line each."""


def options(config: CostConfig) -> list[Option]:
    """Every job of the file, and the API."""
    return [*(_own(config, name, job) for name, job in config.jobs.items()), _api(config)]


def request_price(config: CostConfig) -> float:
    """What one request costs at the API."""
    api, request = config.api, config.request
    prompt = request.prompt_tokens * api.per_million_prompt_tokens
    return (prompt + request.answer_tokens * api.per_million_answer_tokens) / 1e6


def job_flops(job: TrainingConfig) -> float:
    """FLOPs per token, counted part by part."""
    if job.kind == "lora":
        adapters = lora_parameters(job.model, job.lora_rank)
        return lora_flops(job.model, job.vocabulary, job.row_tokens, adapters)
    return training_flops(job.model, job.vocabulary, job.row_tokens)


def machines(config: CostConfig, requests: float) -> int:
    """Machines that serve `requests` a month, spread evenly; peaks need more."""
    return max(1, math.ceil(requests / (config.serving.requests_per_second * SECONDS_PER_MONTH)))


def own_per_month(config: CostConfig, once: float, requests: float) -> float:
    """A month with a model of your own."""
    serving = config.serving
    hosting = machines(config, requests) * serving.per_hour * HOURS_PER_MONTH
    work = serving.people_hours_per_month * config.wage_per_hour
    return once / config.lifetime_months + hosting + work


def api_per_month(config: CostConfig, requests: float) -> float:
    """A month at the API."""
    once = config.api.people_hours * config.wage_per_hour
    work = config.api.people_hours_per_month * config.wage_per_hour
    return once / config.lifetime_months + work + requests * request_price(config)


def break_even(config: CostConfig, once: float) -> float | None:
    """Fewest requests a month at which a model of your own costs no more than the API, or None.

    The cost of your own rises by a step with each machine. Where a full machine costs more than its requests
    do at the API, further ones only make it worse, and the first must suffice.
    """
    price, capacity = request_price(config), config.serving.requests_per_second * SECONDS_PER_MONTH
    machine = config.serving.per_hour * HOURS_PER_MONTH
    gain = price * capacity - machine  # of each full machine
    behind = own_per_month(config, once, 0) - machine - api_per_month(config, 0)
    if price == 0 or (behind > gain and gain <= 0):
        return None
    count = 1 if behind <= gain else math.ceil(behind / gain)
    return max(0.0, (behind + count * machine) / price, (count - 1) * capacity)


def _own(config: CostConfig, name: str, job: TrainingConfig) -> Option:
    hardware, money = config.hardware[job.hardware], config.currency
    count = parameter_count(job.model, job.vocabulary)
    per_token = job_flops(job)
    flops = per_token * job.tokens
    rate = hardware.peak_flops * hardware.share * hardware.devices
    hours = flops / rate / 3600
    compute = hours * job.attempts * hardware.per_hour
    work = job.people_hours * config.wage_per_hour
    once = compute + work
    requests, needed = config.requests_per_month, machines(config, config.requests_per_month)
    month = own_per_month(config, once, requests)
    even = break_even(config, once)
    rule = f"6 N D = {6 * count * job.tokens:.3e}"
    steps = (
        f"{count:,} parameters, {job.tokens:,.0f} tokens ({job.tokens / count:,.3g} a parameter)",
        f"FLOPs: {per_token:.4g} a token, counted, x {job.tokens:,.0f} = {flops:.3e} ({rule})",
        f"hours: {flops:.3e} / ({hardware.peak_flops:.3g} FLOP/s x {hardware.share:.0%} x {hardware.devices} "
        f"devices) / 3,600 = {hours:,.4g} a run",
        f"compute: {hours:,.4g} h x {job.attempts:g} runs x {hardware.per_hour:g} {money}/h "
        f"({hardware.what}) = {compute:,.2f} {money}",
        f"work: {job.people_hours:g} h x {config.wage_per_hour:g} {money}/h = {work:,.2f} {money}",
        f"month: ({compute:,.2f} + {work:,.2f}) / {config.lifetime_months:g} months + {needed} machines x "
        f"{config.serving.per_hour:g} {money}/h x {HOURS_PER_MONTH} h + "
        f"{config.serving.people_hours_per_month:g} h work x {config.wage_per_hour:g} = {month:,.2f} {money}",
        "break-even: never at these prices" if even is None else
        f"break-even: {even:,.0f} requests a month cost the same at the API, "
        f"{request_price(config):.6f} {money} each",
    )  # fmt: skip
    return Option(name, once, month, flops, hours * job.attempts, even, steps)


def _api(config: CostConfig) -> Option:
    api, request, money = config.api, config.request, config.currency
    once = api.people_hours * config.wage_per_hour
    month = api_per_month(config, config.requests_per_month)
    steps = (
        f"request: ({request.prompt_tokens:g} x {api.per_million_prompt_tokens:g} + "
        f"{request.answer_tokens:g} x {api.per_million_answer_tokens:g}) / 1,000,000 = "
        f"{request_price(config):.6f} {money}",
        f"month: {config.requests_per_month:,.0f} x {request_price(config):.6f} + {once:,.2f} / "
        f"{config.lifetime_months:g} months + {api.people_hours_per_month:g} h work x "
        f"{config.wage_per_hour:g} = {month:,.2f} {money}",
    )
    return Option(f"api ({api.what})", once, month, 0.0, 0.0, None, steps)


def table(config: CostConfig, found: list[Option]) -> str:
    """The options with their arithmetic."""
    lines = [f"prices: {config.source}; {config.as_of}, {config.currency}"]
    for option in found:
        lines += ["", option.name, *(f"  {step}" for step in option.steps)]
    lines += ["", f"at {config.requests_per_month:,.0f} requests a month, cheapest first"]
    for option in sorted(found, key=lambda one: one.per_month):
        even = f", break-even {option.break_even:,.0f} requests" if option.break_even is not None else ""
        lines.append(
            f"  {option.name:44} {option.per_month:>12,.2f} {config.currency} a month, {option.once:>12,.2f} "
            f"before the first{even}"
        )
    return "\n".join(lines)
