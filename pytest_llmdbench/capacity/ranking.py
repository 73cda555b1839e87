"""Which candidates are better: by cost, by latency, by throughput, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from pytest_llmdbench.capacity.candidate import Candidate

By = Literal["cost", "latency", "throughput"]


def tpot_of(one: Candidate) -> float:
    """Seconds between tokens."""
    return one.speed.tpot


def ttft_of(one: Candidate) -> float:
    """Seconds to the first token."""
    return one.speed.ttft


def by_cost(one: Candidate) -> float:
    """The whole cost of a million output tokens; what has no price comes last."""
    return one.cost.whole_per_million_output if one.cost else math.inf


def pareto(
    points: Sequence[Candidate],
    cheap: Callable[[Candidate], float],
    fast: Callable[[Candidate], float] = tpot_of,
) -> list[Candidate]:
    """Those that no other beats in both latency and ``cheap`` (smaller is better), from the fastest on."""
    front: list[Candidate] = []
    for one in sorted(points, key=lambda point: (fast(point), cheap(point))):
        if not front or cheap(one) < cheap(front[-1]):
            front.append(one)
    return front


def order_of(by: By) -> Callable[[Candidate], tuple[float, ...]]:
    """The key to sort by, the best first."""
    orders: dict[By, Callable[[Candidate], tuple[float, ...]]] = {
        # What costs the same and is simpler to deploy comes first.
        "cost": lambda one: (by_cost(one), one.prefill is not None, one.gpus, one.speed.e2e),
        "latency": lambda one: (one.speed.e2e, by_cost(one)),
        "throughput": lambda one: (-one.per_gpu, by_cost(one)),
    }
    return orders[by]
