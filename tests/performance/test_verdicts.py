"""How often a verdict at the very bound is wrong, on queues whose tail is known; printed, no gate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_llmdbench.verdicts.dependence import careful, dependence
from pytest_llmdbench.verdicts.share import proof
from tests.verdicts.requests_made import queue

pytestmark = pytest.mark.performance

SEEDS = 200
LOADS = (0.3, 0.5, 0.7, 0.8, 0.9)


@pytest.mark.parametrize("percentile", [90, 99])
@pytest.mark.parametrize("number", [500, 2000, 10_000])
def test_wrong_verdicts_at_the_bound(percentile: int, number: int) -> None:
    allowed = 1 - percentile / 100
    shown = []
    for load in LOADS:
        bound = -math.log(allowed) / (1 - load)
        outcomes = []
        for seed in range(SEEDS):
            _, times = queue(load, number, seed)
            bad = (times > bound).astype(float)
            factor = dependence(bad)
            caution = careful(factor, dependence(times))
            outcomes.append(proof(float(bad.sum()), number, allowed, factor=factor, caution=caution))
        wrong = [100 * outcomes.count(one) / SEEDS for one in ("PASS", "FAIL")]
        shown.append(f"load {load}: {wrong[0]:.1f} / {wrong[1]:.1f} %")
        assert np.isfinite(wrong).all()
    print(f"\nP{percentile}, {number} requests, wrong PASS / FAIL (goal: PASS <= 5 %): {'; '.join(shown)}")
