"""How often a verdict at the very bound is wrong, on queues whose tail is known, and what judging costs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from pytest_llmdbench.declared.objective import parse_objectives
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Requests, Result, Stage
from pytest_llmdbench.results.table import TABLE, RequestTable, write_table
from pytest_llmdbench.verdicts.dependence import careful, dependence
from pytest_llmdbench.verdicts.gaps import worth_of_gaps
from pytest_llmdbench.verdicts.share import proof
from pytest_llmdbench.verdicts.verdict import judge
from tests.performance.test_results import peak_mib
from tests.verdicts.requests_made import queue

pytestmark = pytest.mark.performance

SEEDS = 200
LOADS = (0.3, 0.5, 0.7, 0.8, 0.9)
SIZES: Final = (10_000, 100_000, 1_000_000)
#: Bytes that a request more may take: one column, places, outcomes, and what a file notes of its pieces.
GOAL_BYTES: Final = 24
OBJECTIVES: Final = (
    "ttft.p90<=300ms", "e2e.p99<=1.2s", "tpot.mean<=20ms", "goodput(ttft<=400ms, tpot<=30ms)>=80%",
)  # fmt: skip


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


@pytest.mark.parametrize("number", [10, 20, 50, 300, 1000])
def test_wrong_verdicts_on_gaps_at_the_bound(number: int) -> None:
    random, gaps, allowed, shown = np.random.default_rng(number), 1000, 0.01, []
    for alike in (0.01, 0.1, 0.5):  # the correlation of two gaps of one answer
        outcomes = []
        for _ in range(SEEDS):
            shares = random.beta(allowed * (1 / alike - 1), (1 - allowed) * (1 / alike - 1), number)
            missed = random.binomial(gaps, shares)
            bad, all_ = float(missed.sum()), float(number * gaps)
            own, sure = worth_of_gaps(missed / gaps - bad / all_, bad, all_)
            outcomes.append(proof(bad, all_, allowed, factor=all_ / own, caution=all_ / sure))
        wrong = [100 * outcomes.count(one) / SEEDS for one in ("PASS", "FAIL")]
        shown.append(f"correlation {alike}: {wrong[0]:.1f} / {wrong[1]:.1f} %")
        assert np.isfinite(wrong).all()
    print(f"\nP99 of the gaps of {number} answers, wrong PASS / FAIL (goal: PASS <= 5 %): {'; '.join(shown)}")


def test_judging_a_million_requests_takes_hardly_more_memory_than_a_hundred_thousand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peaks = {}
    for number in SIZES:
        write_table(tmp_path / TABLE, ((0, one) for one in ended(number)))
        command = [sys.executable, "-m", __spec__.name, str(tmp_path / TABLE), str(number)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600)
        peaks[number] = json.loads(done.stdout)
        assert peaks[number]["judged"] == len(OBJECTIVES)
    _, few, many = SIZES
    more = (peaks[many]["peak_mib"] - peaks[few]["peak_mib"]) * 2**20 / (many - few)
    with capsys.disabled():
        for number, told in peaks.items():
            print(
                f"\njudging {number:,} requests by {len(OBJECTIVES)} objectives: {told['peak_mib']:.0f} MiB more; "
                f"{told['cpu_s']:.1f} CPU-s ({told['cpu_s'] / number * 1e6:.1f} us a request)",
                end="",
            )
        print(f"\n{more:.0f} bytes for each request more, at most {GOAL_BYTES}")
    assert more <= GOAL_BYTES


def ended(number: int) -> Iterator[Request]:
    """The requests of a busy queue in the order that they ended; one in a thousand failed."""
    sent, times = queue(0.8, number, 1)
    for row in np.argsort(sent + times).tolist():
        begin, time_s = 1.7e9 + sent[row] / 20, times[row] / 20
        failed = row % 1000 == 0
        yield Request(
            0, begin, begin + time_s, "failed" if failed else "completed", "500" if failed else None, 10, 5, 5,
            None if failed else 0.6 * time_s, None if failed else 0.01 * (1 + time_s),
        )  # fmt: skip


def main(table: Path, number: int) -> None:
    """Judge so many requests, and tell what that took."""
    import scipy.stats  # noqa: F401 - imports are not what is measured, nor what Arrow takes once

    assert RequestTable(table).count(0, "completed")
    whole = Stage(Requests(number), output_tokens=number)
    result = Result("inference-perf", "0.7.0", whole, (whole,), table=table)
    objectives = parse_objectives(OBJECTIVES, "test")
    base, began = peak_mib(), time.process_time()
    verdict = judge(result, objectives, 1.0)
    cpu_s = time.process_time() - began
    print(json.dumps({"judged": len(verdict.judged), "peak_mib": peak_mib() - base, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
