"""What was not measured, or not of every request, is never passed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.declared.objective import parse_objectives
from pytest_llmdbench.declared.warmup import AUTO, Warmup
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Distribution, Result
from pytest_llmdbench.verdicts.verdict import Verdict, judge
from tests.verdicts.requests_made import made, recorded


def verdict_on(result: Result, *texts: str, warmup: Warmup = AUTO) -> Verdict:
    return judge(result, parse_objectives(texts, "test"), 1.0, warmup)


def waiting(number: int, sent: float, **more: Any) -> list[Request]:
    """Requests that were under way when the load ended, sent one after another within a second."""
    return [Request(0, sent + one / number, None, "unfinished", **more) for one in range(number)]


def test_a_load_that_was_over_before_it_was_warm_proves_nothing(tmp_path: Path) -> None:
    objectives = ("e2e.p99<=1s", "e2e.mean<=1s", "goodput(e2e<=1s)>=90%", "ttft.p99<=1s")
    judged = verdict_on(recorded(tmp_path, made([0.1] * 900)), *objectives, warmup=Warmup(seconds=1000)).judged
    assert [one.outcome for one in judged] == ["INCONCLUSIVE", "INCONCLUSIVE", "NOT REPORTED", "NOT REPORTED"]
    assert judged[0].requests == 0


def test_goodput_is_not_reported_where_one_of_its_bounds_was_measured_of_no_request(tmp_path: Path) -> None:
    requests = made([0.125] * 1000)
    for one in requests:
        one.ttft = None
    requests[500].outcome = "failed"
    verdict = verdict_on(recorded(tmp_path, requests), "goodput(ttft<=1ms, tpot<=10s)>=95%")
    assert (verdict.outcome, verdict.judged[0].outcome) == ("FAIL", "NOT REPORTED")


def test_a_request_that_may_still_miss_a_bound_is_not_a_good_one(tmp_path: Path) -> None:
    requests = made([0.125] * 200)
    for one in requests[::9]:
        one.ended = one.sent + 11
    started = waiting(300, 205, ttft=0.1)
    (judged,) = verdict_on(recorded(tmp_path, [*requests, *started]), "goodput(ttft<=1s, e2e<=10s)>=90%").judged
    assert (judged.outcome, judged.bad, judged.requests) == ("INCONCLUSIVE", 23, 200)
    # What was late before it ended is bad, whatever else is not known of it.
    early = waiting(10, 150, ttft=0.1)
    (judged,) = verdict_on(recorded(tmp_path, [*requests, *early]), "goodput(ttft<=1s, e2e<=10s)>=90%").judged
    assert (judged.bad, judged.requests) == (33, 210)


def test_a_mean_counts_requests_that_waited_for_longer_than_its_bound(tmp_path: Path) -> None:
    answered = made([0.125] * 1000)
    assert verdict_on(recorded(tmp_path, answered), "ttft.mean<=1s").outcome == "PASS"
    (judged,) = verdict_on(recorded(tmp_path, [*answered, *waiting(100, 900)]), "ttft.mean<=1s").judged
    assert judged.requests == 1100
    assert judged.value == pytest.approx((1000 * 0.125 + 100 * 98.6) / 1100, rel=0.01)
    assert judged.outcome != "PASS"
    # Under way for less than the bound says nothing.
    (judged,) = verdict_on(recorded(tmp_path, [*answered, *waiting(100, 998.5)]), "ttft.mean<=1s").judged
    assert (judged.requests, judged.outcome) == (1000, "PASS")


def test_goodput_of_requests_that_were_sent_too_late_is_not_sound(tmp_path: Path) -> None:
    result = recorded(tmp_path, made([0.125] * 1000), schedule_lag=Distribution(percentiles={99.0: 0.8}))
    verdict = verdict_on(result, "goodput(ttft<=2s, e2e<=1s)>=95%")
    assert verdict.outcome == "INVALID"
    assert "800 ms late (p99), more than 5% of the bound of 1000 ms" in verdict.reason
    assert verdict_on(result, "goodput(tpot<=1s)>=95%").outcome == "PASS"
    assert verdict_on(result, "goodput(e2e<=1ms)>=95%").outcome == "FAIL"


def test_a_rate_that_was_not_reached_is_seen_where_the_program_only_says_how_late_it_was_on_the_whole(
    tmp_path: Path,
) -> None:
    rates = {"asked_rate": 10.0, "achieved_rate": 5.0}
    result = recorded(tmp_path, made([0.125] * 1000), schedule_lag=Distribution(mean=0.8), **rates)
    assert verdict_on(result, "ttft.p99<=1s").outcome == "INVALID"


def test_a_percentile_of_gaps_that_only_the_load_program_knows_is_said_to_be_unproven(tmp_path: Path) -> None:
    result = recorded(tmp_path, made([0.125] * 20))
    whole = replace(result.whole, latencies={"itl": Distribution(percentiles={99.0: 0.01})})
    verdict = verdict_on(replace(result, whole=whole), "itl.p99<=50ms")
    assert verdict.judged[0].basis == "reported"
    assert "there are no single gaps: percentiles are as the load program reports them, unproven" in verdict.notes
