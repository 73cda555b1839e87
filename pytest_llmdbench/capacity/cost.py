"""What serving costs: per hour, per month at a load, and per million tokens. Prices carry their date and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.speed import Speed
from pytest_llmdbench.declared.cluster import Accelerator
from pytest_llmdbench.declared.prices import Price, price_of

HOURS_A_MONTH: Final = 730.0
MILLION: Final = 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """In the currency of the price. Tokens are those that are served, not those that could be.

    ``per_million_input`` and ``per_million_output`` share the cost by the time that prompts and answers take: together
    they are all of it. ``whole_per_million_output`` puts all of it on output tokens, to compare engines by one number.
    """

    price: Price
    per_hour: float
    per_month: float
    per_million_input: float
    per_million_output: float
    whole_per_million_output: float
    #: Share by which the throughput, and with it the cost of tokens, may be wrong.
    error: float

    @property
    def whole_range(self) -> tuple[float, float]:
        """The whole cost of a million output tokens from to, by the error of the throughput."""
        return self.whole_per_million_output * (1 - self.error), self.whole_per_million_output * (1 + self.error)


def price_of_gpu(name: str, table: str | None = None, per_hour: float | None = None) -> Price | None:
    """The price of one GPU for an hour: ``per_hour``, or what the table says; None where nobody says it.

    Raises:
        DeclarationError: the table cannot be read.
    """
    if per_hour is not None:
        return Price(per_hour, "the price that was given")
    return price_of(Accelerator(product=name, prices=table))


def cost(gpus: int, load: Load, found: Speed, price: Price, served: float) -> Cost:
    """The cost of ``gpus`` GPUs that serve ``served`` requests per second in all."""
    per_hour = gpus * price.per_hour
    hour = served * 3600
    per_output = per_hour / (hour * load.output_tokens) * MILLION
    return Cost(
        price=price,
        per_hour=per_hour,
        per_month=per_hour * HOURS_A_MONTH,
        per_million_input=per_hour * found.prefill_share / (hour * load.prompt_tokens) * MILLION,
        per_million_output=per_output * (1 - found.prefill_share),
        whole_per_million_output=per_output,
        error=found.tpot_error,
    )
