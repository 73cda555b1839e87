"""Stacks whose highest rate is known, as curves of latency over bound: for searches that take no time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from pytest_llmdbench.verdicts.highest_rate import Bracket, Probe, Span, bracket, next_step

#: A search that takes more runs than this never ends.
MOST = 40


@dataclass(frozen=True)
class Stack:
    """``latency`` over its bound at a rate, 1 at the ``highest``; ``capacity`` is what it can complete a second."""

    highest: float
    capacity: float
    latency: Callable[[float], float]


def queue(highest: float, load: float, floor: float = 0.0) -> Stack:
    """A queue (M/M/1) that is at ``load`` of its capacity at the highest rate; ``floor``: what never changes."""
    capacity = highest / load
    scale = (1 - floor) * (1 - load)

    def latency(rate: float) -> float:
        # Beyond its capacity the queue grows as long as the run lasts.
        free = 1 - rate / capacity
        return floor + scale / free if free > 0.005 else max(floor + scale / 0.005, 30 * rate / capacity)

    return Stack(highest, capacity, latency)


def cliff(highest: float, below: float = 0.6) -> Stack:
    """Nothing is seen of the limit until it is there."""
    return Stack(highest, highest, lambda rate: below if rate <= highest else 20 * rate / highest)


def steep(highest: float, power: float) -> Stack:
    """A power of the rate, with a limit just above."""
    capacity = 1.03 * highest
    return Stack(highest, capacity, lambda rate: max((rate / highest) ** power, 20.0 if rate > capacity else 0.0))


def search(stack: Stack, span: Span, noise: float = 0.0, seed: int = 0) -> tuple[Bracket, list[Probe]]:
    """A whole search. ``noise`` is the standard deviation of a measured latency's logarithm, halved in a full run."""
    drawn = random.Random(seed)
    probes: list[Probe] = []
    while (step := next_step(span, probes)) is not None:
        assert len(probes) < MOST, probes
        excess = math.log(stack.latency(step.rate)) + drawn.gauss(0, noise / 2 if step.full else noise)
        served = min(step.rate, stack.capacity) * (1 + drawn.gauss(0, noise / 2))
        probes.append(Probe(step.rate, excess <= 0, excess, served, step.full))
    return bracket(probes), probes
