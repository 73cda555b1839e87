"""How long prompts that come at random wait for an engine, beside a simulation of just that."""

from __future__ import annotations

import heapq
import random

import pytest

from pytest_llmdbench.capacity.queueing import NO_WAIT, queue


def simulated(busy: float, servers: int, variation: float, number: int = 60_000) -> list[float]:
    """The waits of so many requests, in order, each served for about a second."""
    chance = random.Random(1)
    free = [0.0] * servers
    now, waits = 0.0, []
    for _ in range(number):
        now += chance.expovariate(busy * servers)
        begins = max(now, heapq.heappop(free))
        waits.append(begins - now)
        heapq.heappush(free, begins + max(0.05, chance.gauss(1, variation)))
    return sorted(waits)


@pytest.mark.parametrize("servers", [1, 2, 8])
@pytest.mark.parametrize("busy", [0.6, 0.85])
@pytest.mark.parametrize("variation", [0.0, 0.4])
def test_waits_are_those_of_a_simulated_queue(servers: int, busy: float, variation: float) -> None:
    waits = simulated(busy, servers, variation)
    found = queue(busy * servers, servers, 1.0, variation)
    # Where hardly anybody waits a share says little: within a fiftieth of a service as well.
    assert found.mean == pytest.approx(sum(waits) / len(waits), rel=0.12, abs=0.02)
    assert found.at(90) == pytest.approx(waits[int(0.9 * len(waits))], rel=0.12, abs=0.08)
    assert found.at(99) == pytest.approx(waits[int(0.99 * len(waits))], rel=0.2, abs=0.08)


def test_servers_that_cannot_keep_up_let_everybody_wait_without_end() -> None:
    assert queue(2.0, 2, 1.0).mean == float("inf")


def test_without_a_queue_nobody_waits() -> None:
    assert NO_WAIT.at(99.9) == 0
    assert queue(1.0, float("inf"), 1.0).mean == 0


def test_the_maximum_is_longer_than_any_percentile_and_still_a_number() -> None:
    found = queue(0.85, 1, 1.0)
    assert found.at(99) < found.at(100) < float("inf")
