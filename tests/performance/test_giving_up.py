"""How soon a doomed load is given up, and how many sound ones are: by simulation, independent requests and queues."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import pytest

from pytest_llmdbench.verdicts.doomed import Doom
from tests.verdicts.requests_made import queue

pytestmark = pytest.mark.performance

ALLOWED: Final = 0.01
REQUESTS: Final = 3000
#: Requests between two looks.
LOOK: Final = 10
SEEDS: Final = 100
SOON: Final = 120
FALSE: Final = 0.05


def given_up(bad: Any) -> int | None:
    """After how many requests; looked at as a load is."""
    doom = Doom(ALLOWED)
    for begin in range(0, len(bad), LOOK):
        for one in bad[begin : begin + LOOK]:
            doom.add(float(one), 1)
        if doom.doomed:
            return begin + LOOK
    return None


def independent(share: float, seed: int) -> Any:
    return np.random.default_rng(seed).random(REQUESTS) < share


def of_queue(load: float, seed: int) -> Any:
    """Of an M/M/1 queue whose true share of bad requests is just what is allowed."""
    return queue(load, REQUESTS, seed)[1] > math.log(1 / ALLOWED) / (1 - load)


def test_a_doomed_load_is_given_up_soon(capsys: pytest.CaptureFixture[str]) -> None:
    for share in (0.1, 0.05, 0.03, 0.02):
        after = sorted(given_up(independent(share, seed)) or REQUESTS for seed in range(SEEDS))
        median = after[len(after) // 2]
        with capsys.disabled():
            goal = f", goal {SOON}" if share == 0.05 else ""
            print(f"\nP99, {share:.0%} bad: given up after {median} requests (median of {SEEDS}){goal}", end="")
        if share == 0.05:
            assert median <= SOON


def test_a_sound_load_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {"independent": lambda seed: independent(ALLOWED, seed)} | {
        f"queue at {load:.0%} load": lambda seed, load=load: of_queue(load, seed) for load in (0.3, 0.5, 0.7, 0.8, 0.9)
    }
    for name, made in kinds.items():
        wrong = sum(given_up(made(seed)) is not None for seed in range(SEEDS)) / SEEDS
        with capsys.disabled():
            print(f"\n{name}, exactly at the bound: {wrong:.0%} given up, goal {FALSE:.0%}", end="")
        assert wrong <= FALSE
