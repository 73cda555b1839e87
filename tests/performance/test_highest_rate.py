"""Runs that a search for the highest rate takes, and how near it gets: on curves, and on simulated queues."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import numpy as np
import pytest

from pytest_llmdbench.verdicts.highest_rate import Probe, Span, bracket, next_step
from tests.verdicts.curves import Stack, cliff, queue, search, steep
from tests.verdicts.requests_made import queue as simulated

pytestmark = pytest.mark.performance

SPAN = Span(low=4, high=150, tolerance=0.05)
SEEDS = 500
#: Standard deviation of a measured percentile, as a share of it.
NOISE = 0.05
GOAL_RUNS, GOAL_RMSE = 6.2, 0.04

CURVES: dict[str, Callable[[random.Random, float], Stack]] = {
    "M/M/1 queue": lambda drawn, highest: queue(highest, drawn.uniform(0.5, 0.95)),
    "queue on a floor": lambda drawn, highest: queue(highest, drawn.uniform(0.6, 0.95), drawn.uniform(0.2, 0.7)),
    "steep": lambda drawn, highest: steep(highest, drawn.uniform(4, 12)),
    "cliff": lambda drawn, highest: cliff(highest, drawn.uniform(0.3, 0.9)),
}


def test_runs_and_error_on_latency_curves(capsys: pytest.CaptureFixture[str]) -> None:
    everything: list[tuple[int, float]] = []
    lines = []
    for name, make in CURVES.items():
        found = []
        for seed in range(SEEDS):
            drawn = random.Random(seed)
            stack = make(drawn, drawn.uniform(10, 130))
            known, probes = search(stack, SPAN, NOISE, seed)
            found.append((len(probes), (known.met.rate if known.met else SPAN.low) / stack.highest - 1))
        everything += found
        lines.append(told(name, found))
    with capsys.disabled():
        print(f"\nhighest rate in {SPAN.low:g}..{SPAN.high:g} to 5 %, noise of a percentile {NOISE:.0%}")
        print("\n".join([*lines, told("all", everything)]))
        print(f"goals: {GOAL_RUNS} runs, RMSE {GOAL_RMSE:.0%}")


def test_runs_and_error_on_simulated_queues(capsys: pytest.CaptureFixture[str]) -> None:
    """M/M/1 queues request by request: the percentile of a run is as uncertain as its requests make it."""
    with capsys.disabled():
        print("\nP90 of simulated M/M/1 queues, 5,000 requests a run, 12,500 a full one")
        for load in (0.5, 0.7, 0.9):
            print(told(f"at {load:.0%} of capacity", [on_a_queue(load, seed) for seed in range(30)]))


def on_a_queue(load: float, seed: int) -> tuple[int, float]:
    capacity = 60 / load
    bound = math.log(10) / (capacity - 60)
    probes: list[Probe] = []
    while (step := next_step(SPAN, probes)) is not None:
        number = 12_500 if step.full else 5_000
        excess, served = measured(step.rate / capacity, number, 1000 * seed + len(probes))
        excess -= math.log(bound * capacity)
        probes.append(Probe(step.rate, excess <= 0, excess, served * capacity, step.full))
    known = bracket(probes)
    return len(probes), (known.met.rate if known.met else SPAN.low) / 60 - 1


def measured(load: float, number: int, seed: int) -> tuple[float, float]:
    """Logarithm of the P90, and completed a second, of a queue with service rate 1."""
    if load < 0.995:
        _, times = simulated(load, number, seed)
        return math.log(float(np.quantile(times, 0.9))), load
    random_ = np.random.default_rng(seed)
    service, gaps = random_.exponential(1, number), random_.exponential(1 / load, number)
    walk = np.concatenate([[0], np.cumsum(service[:-1] - gaps[:-1])])
    times = walk - np.minimum.accumulate(walk) + service
    return math.log(float(np.quantile(times, 0.9))), min(load, 1.0)


def told(name: str, found: list[tuple[int, float]]) -> str:
    runs, errors = [one for one, _ in found], [error for _, error in found]
    rmse = math.sqrt(statistics.mean(error**2 for error in errors))
    bias = statistics.mean(errors)
    return f"{name:>20}: {statistics.mean(runs):.1f} runs (most {max(runs)}), RMSE {rmse:.1%}, bias {bias:+.1%}"
