"""A verdict says no more than the requests prove: known values, and queues whose tail is known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdbench.declared.objective import parse_objectives
from pytest_llmdbench.declared.warmup import AUTO, Warmup
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Requests, Result
from pytest_llmdbench.verdicts.dependence import dependence
from pytest_llmdbench.verdicts.doomed import ENOUGH, Doom
from pytest_llmdbench.verdicts.share import lower_bound, proof, requests_to_prove, upper_bound
from pytest_llmdbench.verdicts.verdict import Verdict, judge
from pytest_llmdbench.verdicts.warmup import warmup_s
from tests.verdicts.requests_made import made, queue, recorded


def verdict_on(result: Result, *texts: str, warmup: Warmup = AUTO, max_error_rate: float = 1.0) -> Verdict:
    return judge(result, parse_objectives(texts, "test"), max_error_rate, warmup)


@pytest.mark.parametrize(
    ("allowed", "bad", "confidence", "number"),
    [
        (0.01, 0, 0.95, 299), (0.01, 1, 0.95, 473), (0.01, 2, 0.95, 628), (0.01, 5, 0.95, 1049),
        (0.01, 10, 0.95, 1693), (0.01, 0, 0.99, 459), (0.01, 2, 0.99, 838), (0.05, 0, 0.95, 59),
        (0.1, 0, 0.95, 29), (0.001, 0, 0.95, 2995),
    ],
)  # fmt: skip
def test_the_fewest_requests_that_prove_a_percentile_are_the_known_ones(
    allowed: float, bad: int, confidence: float, number: int
) -> None:
    assert requests_to_prove(allowed, bad, confidence) == number
    assert proof(bad, number, allowed, confidence=confidence) == "PASS"
    assert proof(bad, number - 1, allowed, confidence=confidence) == "INCONCLUSIVE"


@given(st.integers(1, 3000), st.floats(0, 1))
def test_the_bounds_are_around_what_was_seen(number: int, part: float) -> None:
    bad = round(part * number)
    assert 0 <= lower_bound(bad, number) <= bad / number <= upper_bound(bad, number) <= 1


def test_requests_that_do_not_depend_on_each_other_are_worth_their_number() -> None:
    assert dependence(np.random.default_rng(1).exponential(1, 5000)) == pytest.approx(1, abs=0.15)


def test_an_autoregressive_series_is_worth_what_theory_says() -> None:
    random, value, series = np.random.default_rng(2), 0.0, []
    for _ in range(40_000):
        value = 0.8 * value + random.normal()
        series.append(value)
    # (1 + r) / (1 - r) for autocorrelations r, r^2, ...
    assert dependence(np.array(series)) == pytest.approx(9, rel=0.2)


@pytest.mark.parametrize("values", [[], [1.0], [0.1] * 6])
def test_too_few_or_equal_values_do_not_depend_on_each_other(values: list[float]) -> None:
    assert dependence(np.array(values)) == 1


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.9])
def test_at_the_bound_a_busy_queue_is_hardly_ever_passed(tmp_path: Path, load: float) -> None:
    bound = math.log(100) / (1 - load)  # one request in a hundred takes longer
    outcomes = []
    for seed in range(40):
        sent, times = queue(load, 2000, seed)
        result = recorded(tmp_path, made(times, sent))
        outcomes.append(verdict_on(result, f"e2e.p99<={bound:.6f}s", warmup=Warmup()).outcome)
    # 5 % are allowed; of 40, 6 would be more than chance.
    assert outcomes.count("PASS") <= 5
    assert outcomes.count("FAIL") <= 5


def test_a_queue_well_within_and_well_over_its_bound_is_told(tmp_path: Path) -> None:
    sent, times = queue(0.3, 4000, 7)
    result = recorded(tmp_path, made(times, sent))
    assert verdict_on(result, "e2e.p99<=15s", warmup=Warmup()).outcome == "PASS"
    assert verdict_on(result, "e2e.p99<=3s", warmup=Warmup()).outcome == "FAIL"


def test_too_few_requests_are_inconclusive_and_say_how_few(tmp_path: Path) -> None:
    verdict = verdict_on(recorded(tmp_path, made([0.1] * 90)), "ttft.p99<=1s")
    assert verdict.outcome == "INCONCLUSIVE"
    assert "90 requests cannot tell: run a longer load" in verdict.reason
    assert verdict.judged[0].word == "UNPROVEN"
    assert verdict_on(recorded(tmp_path, made([0.1] * 90)), "ttft.p95<=1s").outcome == "PASS"


def test_failed_requests_are_bad_requests(tmp_path: Path) -> None:
    requests = made([0.1] * 1000, outcome=lambda number: "failed" if number % 50 == 0 else "completed")
    verdict = verdict_on(recorded(tmp_path, requests), "ttft.p99<=1s")
    assert verdict.outcome == "FAIL"
    assert (verdict.judged[0].bad, verdict.judged[0].requests) == (20, 1000)


def test_a_request_that_the_end_cut_off_is_bad_only_if_it_was_late_already(tmp_path: Path) -> None:
    done = made([0.1] * 400)
    early = Request(0, 400.0, 400.5, "unfinished")
    late = Request(0, 300.0, 400.5, "unfinished")
    (judged,) = verdict_on(recorded(tmp_path, [*done, early]), "ttft.p99<=1s").judged
    assert (judged.bad, judged.requests) == (0, 400)
    (judged,) = verdict_on(recorded(tmp_path, [*done, late]), "ttft.p99<=1s").judged
    assert (judged.bad, judged.requests) == (1, 401)


def test_goodput_counts_requests_that_met_every_bound(tmp_path: Path) -> None:
    requests = made([0.1] * 200)
    for one in requests[:10]:
        one.ttft = 2.0
    for one in requests[5:15]:
        one.tpot = 1.0
    (judged,) = verdict_on(recorded(tmp_path, requests), "goodput(ttft<=1s, tpot<=100ms) >= 80%").judged
    assert judged.value == pytest.approx(185 / 200)
    assert judged.bad == 15


@pytest.mark.parametrize("percentile", [50, 90, 99])
@pytest.mark.parametrize("failed", [0, 3, 60])
@pytest.mark.parametrize("load", [0.3, 0.8])
def test_a_bound_is_missed_below_the_interval_and_met_above_it_and_open_within(
    tmp_path: Path, percentile: int, failed: int, load: float
) -> None:
    arrivals, times = queue(load, 400, seed=percentile)
    requests = made(times, arrivals, lambda number: "failed" if number < failed else "completed")
    result = recorded(tmp_path, requests)
    seen = set()
    for bound in np.quantile(times, np.linspace(0.02, 1, 60)):
        (one,) = verdict_on(result, f"e2e.p{percentile} <= {bound:.6f}s", warmup=Warmup()).judged
        limit = one.objective.bound.limit
        missed = one.low is not None and limit < one.low
        met = one.high is not None and limit >= one.high
        assert one.outcome == ("FAIL" if missed else "PASS" if met else "INCONCLUSIVE"), (limit, one)
        seen.add(one.outcome)
    assert "INCONCLUSIVE" in seen or failed == 60


def test_a_mean_is_proven_by_its_confidence_interval(tmp_path: Path) -> None:
    result = recorded(tmp_path, made(np.random.default_rng(3).normal(1.0, 0.1, 100)))
    outcomes = [
        verdict_on(result, f"ttft.mean<={bound}s").outcome for bound in (1.1, round(result_mean(result), 3), 0.9)
    ]
    assert outcomes == ["PASS", "INCONCLUSIVE", "FAIL"]


def result_mean(result: Result) -> float:
    mean = result.whole.latencies["e2e"].mean
    assert mean is not None
    return mean


def test_gaps_of_one_answer_are_not_worth_as_many_answers(tmp_path: Path) -> None:
    def streams(number: int) -> list[Request]:
        return made([1.0] * number, gaps=[0.01] * 100)

    assert verdict_on(recorded(tmp_path, streams(20)), "itl.p99<=50ms").outcome == "INCONCLUSIVE"
    assert verdict_on(recorded(tmp_path, streams(300)), "itl.p99<=50ms").outcome == "PASS"
    stuttering = streams(300)
    for one in stuttering[::10]:
        one.gaps = [0.1] * 50 + [0.01] * 50
    assert verdict_on(recorded(tmp_path, stuttering), "itl.p99<=50ms").outcome == "FAIL"


def test_few_answers_with_a_bad_gap_here_and_there_prove_no_more_than_as_many_without(tmp_path: Path) -> None:
    def outcome(number: int, every: int) -> str:
        answers = made([1.0] * number, gaps=[0.01] * 100)
        for one in answers[::every]:
            one.gaps = [0.1] + [0.01] * 99
        return verdict_on(recorded(tmp_path, answers), "itl.p99<=50ms").outcome

    assert outcome(20, 3) == "INCONCLUSIVE"  # 7 of 2,000, but one answer in fifty may stutter throughout
    assert outcome(2000, 3) == "PASS"


def test_to_requests_that_nobody_answered_all_gaps_are_bad(tmp_path: Path) -> None:
    result = recorded(tmp_path, made([1.0] * 1000, gaps=[0.01] * 100))
    assert verdict_on(result, "itl.p99<=50ms").outcome == "PASS"
    asked = replace(result.whole, requests=Requests(1000, unfinished=50))
    (judged,) = verdict_on(replace(result, whole=asked), "itl.p99<=50ms").judged
    assert (judged.outcome, judged.bad, judged.requests) == ("FAIL", 5000, 105_000)


def test_a_cold_start_is_left_out_and_said(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    sent = np.arange(3000) / 10  # 300 s
    times = 0.1 + 0.02 * random.random(3000) + 3.0 * np.exp(-sent / 4)
    result = recorded(tmp_path, made(times, sent))
    cold = verdict_on(result, "ttft.p99<=200ms", warmup=Warmup())
    warm = verdict_on(result, "ttft.p99<=200ms")
    assert (cold.outcome, warm.outcome) == ("INCONCLUSIVE", "PASS")
    assert 10 <= warm.warmup[0] <= 60


def test_a_declared_warm_up_is_left_out_as_declared(tmp_path: Path) -> None:
    sent = np.arange(400) / 10
    times = np.where(sent < 5, 3.0, 0.1)
    result = recorded(tmp_path, made(times, sent))
    assert verdict_on(result, "ttft.p99<=200ms", warmup=Warmup(seconds=5)).outcome == "PASS"
    assert verdict_on(result, "ttft.p99<=200ms", warmup=Warmup(seconds=4)).outcome != "PASS"


def test_a_steady_run_has_no_warm_up_and_one_that_never_settles_says_so() -> None:
    random, sent = np.random.default_rng(6), np.arange(0, 300, 0.1)
    counts = np.bincount(sent.astype(int)).astype(float)
    assert warmup_s(counts, np.bincount(sent.astype(int), random.normal(1, 0.1, len(sent)))) == 0
    growing = np.bincount(sent.astype(int), sent)
    assert warmup_s(counts, growing) is None
    assert warmup_s(counts[:10], growing[:10]) == 0  # 10 s tell nothing


def test_a_doomed_run_is_told_soon_and_a_sound_one_is_left_alone() -> None:
    random = np.random.default_rng(8)

    def given_up_after(share: float, number: int) -> int | None:
        doom = Doom(0.01)
        for begin in range(0, number, 10):
            doom.seen(int((random.random(10) < share).sum()), 10)
            if doom.doomed:
                return begin + 10
        return None

    after = sorted(given_up_after(0.05, 2000) or 2000 for _ in range(40))
    assert after[20] <= 160
    assert [given_up_after(0.005, 2000) for _ in range(40)] == [None] * 40
    assert Doom(0.01).evidence == pytest.approx(1.0)
    assert Doom(0.01, bad=10_000, number=10_000).evidence > ENOUGH
