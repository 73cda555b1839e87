"""Drawing factors with mean 1: what makes one step, first token or answer unlike the next, reproducibly."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from pytest_llmdbench.simulator.config import Spread


def generator(seed: int | str) -> random.Random:
    """A generator of its own for each purpose, so that drawing for one does not shift another."""
    return random.Random(seed)  # noqa: S311  # simulated latencies are no secrets


def factors(spread: Spread, seed: int | str) -> Callable[[], float]:
    """A function that draws one factor per call: never negative, mean 1 over many calls."""
    if spread.distribution == "table":
        return _from_table(spread.table, generator(seed))
    if spread.distribution == "constant" or spread.cv == 0:
        return lambda: 1.0
    draw, cv = generator(seed), spread.cv
    if spread.distribution == "normal":
        return lambda: max(0.0, draw.gauss(1.0, cv))
    if spread.distribution == "gamma":
        return lambda: draw.gammavariate(1 / cv**2, cv**2)
    sigma = math.sqrt(math.log(1 + cv**2))
    return lambda: draw.lognormvariate(-(sigma**2) / 2, sigma)


def _from_table(table: tuple[float, ...], draw: random.Random) -> Callable[[], float]:
    mean = math.fsum(table) / len(table)
    scaled = [value / mean for value in table]
    return lambda: draw.choice(scaled)
