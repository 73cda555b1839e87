"""What a GPU costs an hour, said by the scenario or a dated table; whether cost and energy of a load will be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BeforeValidator, Field

from pytest_llmdbench.declared.cluster import Accelerator
from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.declared.strict import Strict, read_model
from pytest_llmdbench.errors import DeclarationError

if TYPE_CHECKING:
    from pytest_llmdbench.declared.scenario import Scenario

#: The table that comes along.
SHIPPED: Final = Path(__file__).parents[1] / "data" / "gpu_prices.yaml"


@dataclass(frozen=True, slots=True)
class Price:
    """What one GPU costs an hour, where that stands, and for a table when it was looked up and in which currency."""

    per_hour: float
    source: str
    date: str | None = None
    currency: str | None = None


class TablePrice(Strict):
    """One product of a price table."""

    names: tuple[str, ...] = Field(default=(), description="What the product is called besides: by node labels.")
    per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(description="Price of one GPU for an hour.")
    # YAML makes a date of 2026-05-20 and a number of 2026.
    date: Annotated[str, BeforeValidator(str), Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")] = Field(
        description="When it was looked up: a day, a month or a year."
    )
    source: Annotated[str, Field(min_length=1)] = Field(description="Where it stands, and what it is a price of.")


class PriceTable(Strict):
    """A price table: prices by product, all in one currency."""

    currency: Annotated[str, Field(min_length=1)] = Field(description="Of all prices, as in USD.")
    prices: Mapping[str, TablePrice] = Field(min_length=1, description="Product -> its price.")


def price_of(accelerator: Accelerator) -> Price | None:
    """The price of a scenario's GPUs; None where nothing says which GPUs they are, or the table does not know them.

    Raises:
        DeclarationError: the table cannot be read or is none; names file, line and key.
    """
    if accelerator.price_per_hour is not None:
        return Price(accelerator.price_per_hour, "accelerator.price_per_hour")
    # A table that was given is read whether or not it is of use here: what is wrong with it comes up at once.
    table = _table(Path(accelerator.prices).expanduser() if accelerator.prices else SHIPPED)
    return table.get(accelerator.product.casefold()) if accelerator.product else None


def countable(scenario: Scenario) -> str | None:
    """Why the cost of a load on a scenario's stack will not be known; None if it will.

    Raises:
        DeclarationError: as :func:`price_of`.
    """
    accelerator = scenario.accelerator
    if accelerator.gpus is None and scenario.deploy not in ("standalone", "modelservice"):
        return "nobody knows how many GPUs the stack has; say accelerator.gpus"
    if price_of(accelerator) is None:
        which = f"is no price of '{accelerator.product}'" if accelerator.product else "is no word on which GPUs"
        return f"there {which}; say accelerator.price_per_hour, or accelerator.product as the price table has it"
    return None


def metered(scenario: Scenario) -> str | None:
    """Why the energy of a load on a scenario's stack will not be known; None if it may be."""
    exporter = "energy is read from NVIDIA's dcgm-exporter in a cluster"
    if scenario.deploy == "local":
        return f"{exporter}, and this stack is on this machine"
    if scenario.deploy == "endpoint" and scenario.endpoint.stack is None:
        return f"{exporter}, and of this stack only the URL is known; say endpoint.stack"
    if not scenario.load.scrape_s:
        return "energy is read with the metrics of the stack's servers; say load.scrape_s above 0"
    return None


@cache
def _table(path: Path) -> Mapping[str, Price]:
    """Prices by all names of the products, in small letters."""
    layers = Layers()
    layers.add_source(load_yaml(path))
    table = read_model(PriceTable, layers)
    made: dict[str, Price] = {}
    for product, one in table.prices.items():
        for name in dict.fromkeys(name.casefold() for name in (product, *one.names)):
            if name in made:
                where = layers.origin(("prices", product))
                raise DeclarationError(f"{where}: two prices are for '{name}'; leave one of them out")
            made[name] = Price(one.per_hour, one.source, one.date, table.currency)
    return made
