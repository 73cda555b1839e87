"""How often a gate cries wolf and how often it finds what is there: simulated runs with a known tail.

A run is 1,000 lognormal latencies times a level of the run's own; what is judged is its p99, and then all metrics
that decide over a case. Requests of one run are independent here, so this is the best case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from pytest_llmdbench.results.baseline import Run
from pytest_llmdbench.verdicts.regression import FEWEST_AFTER, FEWEST_BEFORE, compare
from tests.verdicts.runs_made import baseline, case

pytestmark = pytest.mark.performance

TIMES: Final = 400
REQUESTS: Final = 1000
SIGMA: Final = 0.5
MARGIN: Final = 0.05
#: Per cent of false alarms and of findings at +10 % and +20 % that are wanted, by run-to-run variation.
GOALS: Final = {0.02: (2, 77, 100), 0.05: (1, 53, 95)}

Gate = Callable[[list[Any], list[Any]], bool]


def requests_of(random: np.random.Generator, variation: float, effect: float) -> Any:
    return effect * np.exp(random.normal(0, variation) + random.normal(0, SIGMA, REQUESTS))


def p99(requests: Any) -> float:
    return float(np.quantile(requests, 0.99))


def one_against_one(before: list[Any], after: list[Any]) -> bool:
    return p99(after[0]) > p99(before[0]) * (1 + MARGIN)


def pooled_requests(before: list[Any], after: list[Any]) -> bool:
    return bool(mannwhitneyu(np.concatenate(after), np.concatenate(before), alternative="greater").pvalue < 0.05)


def ours(before: list[Any], after: list[Any]) -> bool:
    return told(before, after, lambda requests: {"e2e.p99": p99(requests)})


def ours_all_metrics(before: list[Any], after: list[Any]) -> bool:
    return told(before, after, measured)


def measured(requests: Any) -> dict[str, float]:
    """All metrics that decide: a third of an answer's time is for its first token, and each part varies by itself."""
    shares = np.random.default_rng(int(requests[0] * 1e12)).lognormal(0, 0.3, (2, REQUESTS))
    named = {"ttft": requests * shares[0] / 3, "tpot": requests * shares[1] / 30}
    named["e2e"] = named["ttft"] + 20 * named["tpot"]
    values = {
        f"{name}.{one}": float(np.quantile(of, share))
        for name, of in named.items()
        for one, share in (("p50", 0.5), ("p99", 0.99))
    }
    return values | {"output_tokens_per_second": 1 / float(named["e2e"].mean())}


def told(before: list[Any], after: list[Any], measure: Callable[[Any], dict[str, float]]) -> bool:
    then, now = (case(*(Run(measure(one)) for one in runs)) for runs in (before, after))
    return compare(baseline(then), now, MARGIN).outcome == "REGRESSION"


def share_of(gate: Gate, variation: float, effect: float) -> float:
    random = np.random.default_rng(17)
    found = 0
    for _ in range(TIMES):
        before = [requests_of(random, variation, 1.0) for _ in range(FEWEST_BEFORE)]
        after = [requests_of(random, variation, effect) for _ in range(FEWEST_AFTER)]
        found += gate(before, after)
    return 100 * found / TIMES


def test_false_alarms_and_findings_of_regression_gates(capsys: pytest.CaptureFixture[str]) -> None:
    gates: dict[str, Gate] = {
        "one run against one, > 5 %": one_against_one,
        "Mann-Whitney, pooled requests": pooled_requests,
        "this gate, p99 alone": ours,
        "this gate, all deciding metrics": ours_all_metrics,
    }
    with capsys.disabled():
        print(f"\n{FEWEST_BEFORE} runs against {FEWEST_AFTER}, {TIMES} times, in per cent: false alarms, +10 %, +20 %")
        for variation, goals in GOALS.items():
            print(f"run-to-run variation {variation:.0%}; goal {goals[0]} / {goals[1]} / {goals[2]}")
            for name, gate in gates.items():
                shares = [share_of(gate, variation, effect) for effect in (1.0, 1.1, 1.2)]
                print(f"  {name:32} {shares[0]:5.1f} / {shares[1]:5.1f} / {shares[2]:5.1f}")
