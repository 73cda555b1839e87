"""Of a repeated load the requests together and the runs each for itself have to prove an objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_llmdbench.declared.objective import parse_objectives
from pytest_llmdbench.declared.warmup import AUTO, Warmup
from pytest_llmdbench.results.pooling import pool
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage
from pytest_llmdbench.verdicts.over_runs import interval
from pytest_llmdbench.verdicts.verdict import Verdict, judge
from tests.verdicts.requests_made import made, recorded

WHOLE = Warmup()


def repeated(tmp_path: Path, levels: Sequence[float], number: int = 200, **server: Any) -> Result:
    """Runs whose requests take about ``levels`` seconds each."""
    runs = []
    for run, level in enumerate(levels):
        folder = tmp_path / str(run)
        folder.mkdir()
        times = level * np.random.default_rng(run).uniform(0.9, 1.0, number)
        sent = 1000.0 * run + np.arange(number)
        runs.append(recorded(folder, made(times, sent), requests_per_second=1 / level))
    return pool([replace(one, server=server) for one in runs], tmp_path)


def verdict_on(result: Result, *texts: str, warmup: Warmup = WHOLE, confidence: float = 0.95) -> Verdict:
    return judge(result, parse_objectives(texts, "test"), 0.0, warmup, confidence)


def test_runs_that_agree_prove_it_and_the_interval_is_theirs(tmp_path: Path) -> None:
    verdict = verdict_on(repeated(tmp_path, [1.0, 1.01, 1.02]), "e2e.p99<=1.2s")
    (one,) = verdict.judged
    assert (verdict.outcome, one.basis, one.runs, one.requests) == ("PASS", "runs", 3, 600)
    assert one.low is not None
    assert one.high is not None
    assert 0.97 < one.low < 1.01 < one.high < 1.05


def test_runs_that_differ_too_much_do_not_prove_what_their_requests_would(tmp_path: Path) -> None:
    verdict = verdict_on(repeated(tmp_path, [0.5, 0.7, 1.15]), "e2e.p99<=1.2s")
    assert verdict.outcome == "INCONCLUSIVE"
    assert "600 requests" in verdict.reason


def test_runs_that_are_all_over_the_bound_miss_it(tmp_path: Path) -> None:
    assert verdict_on(repeated(tmp_path, [1.0, 1.01, 1.02]), "e2e.p99<=0.9s").outcome == "FAIL"


def test_two_runs_are_judged_by_their_requests(tmp_path: Path) -> None:
    (one,) = verdict_on(repeated(tmp_path, [1.0, 1.01]), "e2e.p99<=1.2s").judged
    assert (one.outcome, one.basis, one.runs, one.requests) == ("PASS", "requests", None, 400)


def test_a_rate_is_no_fact_any_more_once_runs_show_how_it_varies(tmp_path: Path) -> None:
    result = repeated(tmp_path, [0.9, 1.0, 1.1])
    outcomes = [verdict_on(result, f"requests_per_second>={bound}").outcome for bound in (0.7, 1.0, 1.5)]
    assert outcomes == ["PASS", "INCONCLUSIVE", "FAIL"]


def test_reported_percentiles_of_several_runs_can_be_proven() -> None:
    def run(value: float) -> Result:
        whole = Stage(Requests(100), output_tokens=1, latencies={"ttft": Distribution(percentiles={99.0: value})})
        return Result("quick", "1", whole, (whole,))

    verdict = verdict_on(pool([run(0.10), run(0.11), run(0.12)], Path()), "ttft.p99<=200ms")
    assert (verdict.outcome, verdict.judged[0].basis, verdict.notes) == ("PASS", "runs", ())


def test_each_runs_own_beginning_is_left_out(tmp_path: Path) -> None:
    runs = []
    for run in range(3):
        folder = tmp_path / str(run)
        folder.mkdir()
        times = np.concatenate([np.full(10, 9.0), np.random.default_rng(run).uniform(0.9, 1.0, 150)])
        runs.append(recorded(folder, made(times, 1000.0 * run + np.arange(160))))
    pooled = pool(runs, tmp_path)
    assert verdict_on(pooled, "e2e.p95<=2s", warmup=Warmup(seconds=10)).outcome == "PASS"
    assert verdict_on(pooled, "e2e.p95<=2s").outcome != "PASS"
    assert verdict_on(pooled, "e2e.p95<=2s", warmup=AUTO).warmup[0] >= 10


def test_to_be_looked_at_again_takes_more_certainty_and_says_so(tmp_path: Path) -> None:
    result = recorded(tmp_path, made(np.random.default_rng(1).uniform(0.1, 0.2, 75)))
    assert verdict_on(result, "e2e.p95<=1s").outcome == "PASS"
    looked = verdict_on(result, "e2e.p95<=1s", confidence=1 - 0.05 / 3)
    assert looked.outcome == "INCONCLUSIVE"
    assert looked.notes == ("it may be looked at several times, so each proof has to be 98.3% sure (Bonferroni)",)


def test_a_cache_that_stayed_warm_between_runs_makes_them_invalid(tmp_path: Path) -> None:
    verdict = verdict_on(repeated(tmp_path, [1.0, 1.0], not_reset="the cache stays warm"), "e2e.p95<=2s")
    assert (verdict.outcome, verdict.reason) == (
        "INVALID",
        "run 2 found what run 1 had left: the cache stays warm",
    )


def test_a_cache_that_was_not_reset_does_no_harm_where_nothing_was_found_in_it(tmp_path: Path) -> None:
    metrics = {"totals": {"prefix_cache_hit_rate": 0.1}}
    result = repeated(tmp_path, [1.0, 1.0], not_reset="the cache stays warm", metrics=metrics)
    assert verdict_on(result, "e2e.p95<=2s").outcome == "PASS"


@pytest.mark.parametrize(("started", "outcome"), [(5.0, "PASS"), (6.0, "INVALID")])
def test_a_server_that_was_restarted_between_runs_makes_them_invalid(
    tmp_path: Path, started: float, outcome: str
) -> None:
    result = repeated(tmp_path, [1.0, 1.0])
    servers = [{"metrics": {"targets": [{"label": "server", "started": one}]}} for one in (5.0, started)]
    runs = tuple(replace(run, server=one) for run, one in zip(result.runs, servers, strict=True))
    verdict = verdict_on(replace(result, runs=runs), "e2e.p95<=2s")
    assert verdict.outcome == outcome
    assert ("server was restarted before run 2" in verdict.reason) == (outcome == "INVALID")


def test_one_run_that_is_not_sound_spoils_them_all_and_is_named(tmp_path: Path) -> None:
    result = repeated(tmp_path, [1.0, 1.0])
    late = replace(result.runs[1], server={"lateness": {"overloaded": True, "late_p99_s": 0.5}})
    verdict = verdict_on(replace(result, runs=(result.runs[0], late)), "e2e.p95<=1.2s")
    assert verdict.outcome == "INVALID"
    assert verdict.reason.startswith("run 2: the simulator could not keep its own time")


def test_a_load_that_was_given_up_fails_with_the_reason_whatever_it_showed(tmp_path: Path) -> None:
    result = replace(recorded(tmp_path, made([0.1] * 400)), abandoned="given up after 400 requests")
    verdict = verdict_on(result, "e2e.p99<=1s")
    assert (verdict.outcome, verdict.reason) == ("FAIL", "given up after 400 requests")


def test_the_interval_of_three_runs_is_students() -> None:
    low, high = interval([1.0, 2.0, 3.0])
    assert low == pytest.approx(2 - 2.92 / 3**0.5, abs=1e-3)
    assert high == pytest.approx(2 + 2.92 / 3**0.5, abs=1e-3)
