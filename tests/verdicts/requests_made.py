"""Results with single requests, as a harness would have left them: of a queue whose tail is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pytest_llmdbench.results.distributions import distribution
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Requests, Result, Stage
from pytest_llmdbench.results.table import TABLE, RequestTable, write_table


def queue(load: float, number: int, seed: int) -> tuple[Any, Any]:
    """Arrivals and times in the system of an M/M/1 queue with service rate 1, warmed up: P(time > t) = exp(-(1-load)t).

    By Lindley's recursion, in its form of a reflected random walk.
    """
    random = np.random.default_rng(seed)
    warmup = int(20 / (1 - load) ** 2)
    total = number + warmup
    service, gaps = random.exponential(1, total), random.exponential(1 / load, total)
    walk = np.concatenate([[0], np.cumsum(service[:-1] - gaps[:-1])])
    waiting = walk - np.minimum.accumulate(walk)
    arrivals = np.cumsum(np.concatenate([[0], gaps[:-1]]))
    return arrivals[warmup:] - arrivals[warmup], (waiting + service)[warmup:]


def recorded(folder: Path, requests: Iterable[Request], **more: Any) -> Result:
    """A result whose table holds these requests."""
    write_table(folder / TABLE, ((0, one) for one in requests))
    table = RequestTable(folder / TABLE)
    counts = Requests(table.count(None, "completed"), table.errors(), table.count(None, "unfinished"))
    e2e = distribution(table.values("e2e"))
    whole = Stage(counts, output_tokens=100, latencies={"e2e": e2e} if e2e else {}, **more)
    return Result("inference-perf", "0.7.0", whole, (whole,), table=table.path)


def made(
    times: Any, sent: Any = None, outcome: Callable[[int], Any] = lambda number: "completed", **more: Any
) -> list[Request]:
    """Requests of one stage that took ``times`` seconds, to their first token as to their last."""
    sent = np.arange(len(times), dtype=float) if sent is None else sent
    return [
        Request(0, float(begin), float(begin + time), outcome(number), None, 10, 5, 5, float(time), 0.01, **more)
        for number, (begin, time) in enumerate(zip(sent, times, strict=True))
    ]
