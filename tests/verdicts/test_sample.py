"""The requests that are judged: none is left out or counted twice, and their order is that of their sending."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_llmdbench.declared.objective import parse_objectives
from pytest_llmdbench.results.request import Outcome, Request
from pytest_llmdbench.results.table import TABLE, RequestTable, write_table
from pytest_llmdbench.verdicts.dependence import BLOCK, dependence
from pytest_llmdbench.verdicts.sample import Sample
from pytest_llmdbench.verdicts.sending_order import places
from pytest_llmdbench.verdicts.verdict import judge
from tests.verdicts.queues_made import repeated
from tests.verdicts.requests_made import queue

#: Objective, outcome, value, bounds of the interval, what requests are worth, bad ones, and all: computed with every
#: column of all requests in memory, by one spectrum of all of them, and numpy's own standard deviation.
KNOWN = {
    1: (
        ("ttft.p90 <= 250 ms", "INCONCLUSIVE", 0.208829169, 0.157885551, 0.365371943, 52.4356756, 1240.0, 17515),
        ("e2e.p99 <= 900 ms", "INCONCLUSIVE", 0.795109565, 0.687267065, None, 118.328276, 105.0, 17512),
        ("e2e.p99@stage0 <= 300 ms", "FAIL", 0.315921597, 0.304135561, 0.376704216, 860.524895, 131.0, 8515),
        ("tpot.mean <= 4 ms", "PASS", 0.00281715091, 0.0023167038, 0.00331759802, 119.557187, None, 16597),
        ("normalized_tpot.p95 <= 100 ms", "PASS", 0.0603036433, 0.0541065931, 0.0770052075, 790.139491, 440.0, 17054),
        ("goodput(ttft <= 200 ms, tpot <= 7 ms) >= 80%",
            "INCONCLUSIVE", 0.891433467, 0.715480393, 0.961514203, 21.5090327, 1901.0, 17510),
        ("itl.p99 <= 40 ms", "INCONCLUSIVE", None, None, None, 769.939758, 146.870519, 26246),
    ),
    3: (
        ("ttft.p90 <= 250 ms", "INCONCLUSIVE", 0.182925081, 0.134258123, 0.230963167, 83.5920414, 2673.0, 50733),
        ("e2e.p99 <= 900 ms", "INCONCLUSIVE", 0.743084574, 0.413871645, 1.00485886, 536.331907, 233.0, 50725),
        ("e2e.p99@stage0 <= 300 ms", "FAIL", 0.33368886, 0.283268453, 0.38810638, 1881.816, 452.0, 25347),
        ("tpot.mean <= 4 ms", "PASS", 0.00255307521, 0.00195648932, 0.00312099932, 539.177446, None, 48091),
        ("normalized_tpot.p95 <= 100 ms", "PASS", 0.0535101414, 0.0395724383, 0.06700852, 3037.43422, 1111.0, 49386),
        ("goodput(ttft <= 200 ms, tpot <= 7 ms) >= 80%",
            "INCONCLUSIVE", 0.916066957, 0.867736394, 0.966777256, 26.676618, 4257.0, 50719),
        ("itl.p99 <= 40 ms", "PASS", None, None, None, 2120.38658, 310.791921, 75962),
    ),
}  # fmt: skip


@pytest.mark.parametrize("runs", [1, 3])
def test_a_verdict_by_pieces_is_that_by_all_requests_at_once(tmp_path: Path, runs: int) -> None:
    verdict = judge(repeated(tmp_path, runs), parse_objectives([one[0] for one in KNOWN[runs]], "test"), 1.0)
    assert verdict.warmup == {1: {0: 40.0}, 3: {0: 60.0, 1: 85.0}}[runs]
    for judged, (text, outcome, *numbers) in zip(verdict.judged, KNOWN[runs], strict=True):
        assert (judged.objective.text, judged.outcome) == (text, outcome)
        found = [judged.value, judged.low, judged.high, judged.worth, judged.bad, judged.requests]
        assert found == [None if one is None else pytest.approx(one, rel=1e-8) for one in numbers]


def directly(values: Any) -> float:
    """What Geyer's estimate is by its definition, every autocorrelation by itself."""
    centred = values - values.mean()
    products = (float(centred[: len(centred) - lag] @ centred[lag:]) for lag in range(len(centred)))
    pairs = (one + next(products) for one in products)
    return max(1.0, 2 * sum(takewhile(lambda pair: pair > 0, pairs)) / float(centred @ centred) - 1)


@pytest.mark.parametrize("number", [6, 1000, BLOCK, BLOCK + 2, 2 * BLOCK + 4])
def test_dependence_by_blocks_is_that_of_its_definition(number: int) -> None:
    _, times = queue(0.9, number, 3)
    slow = np.sin(np.arange(number) / number * 6)  # goes together for longer than a block
    for values in (times, times > times.mean(), times + 100 * slow):
        assert dependence(values) == pytest.approx(directly(values.astype(float)), rel=1e-9)


def sent_at(folder: Path, *requests: tuple[int, float], outcome: Outcome = "completed") -> RequestTable:
    """A table of requests of one run, each with its stage and the second it was sent in."""
    made = (Request(stage, sent, sent + 1, outcome, ttft=float(row)) for row, (stage, sent) in enumerate(requests))
    write_table(folder / TABLE, ((0, one) for one in made))
    return RequestTable(folder / TABLE)


def test_requests_are_in_the_order_of_their_sending_and_those_sent_at_once_in_that_of_the_file(tmp_path: Path) -> None:
    table = sent_at(tmp_path, (0, 1.7e9 + 2), (0, 1.7e9), (1, 1.7e9 + 1), (0, 1.7e9 + 2), (0, 1.7e9 + 1.000001))
    assert places(table, None, {}).tolist() == [3, 0, 1, 4, 2]
    assert Sample(table, None, {}).latencies("ttft").tolist() == [1, 2, 4, 0, 3]


def test_only_the_stage_and_what_is_after_its_warm_up_is_judged(tmp_path: Path) -> None:
    table = sent_at(tmp_path, (1, 12.0), (0, 1.0), (0, 3.0), (1, 10.0), (1, 11.5), (0, 2.0))
    assert places(table, 1, {}).tolist() == [2, -1, -1, 0, 1, -1]
    assert places(table, None, {(0, 1): 1.5, (0, 0): 1.0}).tolist() == [3, -1, 1, -1, 2, 0]
    assert places(table, None, {(0, 0): float("inf")}).tolist() == [2, -1, -1, 0, 1, -1]
    assert Sample(table, None, {}).of_run(0, 0).latencies("ttft").tolist() == [1, 5, 2, 3, 4, 0]
    assert Sample(table, None, {}).of_run(1, 0).latencies("ttft").tolist() == []


def test_of_a_table_without_requests_nothing_is_judged(tmp_path: Path) -> None:
    sample = Sample(sent_at(tmp_path), None, {}, lost=2)
    (objective,) = parse_objectives(["ttft.p99<=1s"], "test")
    assert sample.bad({"ttft": objective.bound}) is None
    assert sample.latencies("ttft").tolist() == []


def test_stages_whose_requests_are_alike_do_not_depend_on_each_other(tmp_path: Path) -> None:
    requests = [Request(row // 500, float(row), row + 1.0, "completed", ttft=0.1 + row // 500) for row in range(1500)]
    write_table(tmp_path / TABLE, ((0, one) for one in requests))
    assert Sample(RequestTable(tmp_path / TABLE), None, {}).factor("ttft") == 1
