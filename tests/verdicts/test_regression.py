"""Worse than a baseline is said when runs prove it, the same when runs prove that, and else neither."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from pytest_llmdbench.results.baseline import Noise, Run
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage
from pytest_llmdbench.verdicts.noise import averaged, measure_noise
from pytest_llmdbench.verdicts.regression import Change, Regression, compare
from pytest_llmdbench.verdicts.run_level import COMPARED, errors_of, percentile_error, values_of
from pytest_llmdbench.verdicts.shift import LEVEL, runs_to_tell, shift
from tests.verdicts.requests_made import made, queue, recorded
from tests.verdicts.runs_made import baseline, case, drawn, ttft

MARGIN = 0.05


def changed(regression: Regression) -> Change:
    (change,) = regression.changes
    return change


def test_runs_that_are_all_slower_by_more_than_the_margin_are_a_regression() -> None:
    then, now = case(*ttft(drawn(5, 1))), case(*ttft(drawn(3, 2, level=1.2)))
    regression = compare(baseline(then), now, MARGIN)
    assert regression.outcome == "REGRESSION"
    assert "worse than the baseline: ttft.p50 +1" in regression.reason
    change = changed(regression)
    assert change.basis == "runs"
    assert change.low is not None
    assert change.high is not None
    assert change.ratio is not None
    assert 1 < change.low <= change.ratio <= change.high


def test_runs_that_are_alike_are_no_regression_and_the_interval_says_how_sure() -> None:
    regression = compare(
        baseline(case(*ttft(drawn(8, 3, variation=0.01)))), case(*ttft(drawn(8, 4, variation=0.01))), MARGIN
    )
    assert regression.outcome == "NO REGRESSION"
    high = changed(regression).high
    assert high is not None
    assert high < 1 + MARGIN


def test_runs_that_are_faster_are_no_regression() -> None:
    assert (
        compare(baseline(case(*ttft(drawn(5, 1)))), case(*ttft(drawn(3, 2, level=0.7))), MARGIN).outcome
        == "NO REGRESSION"
    )


def test_runs_that_vary_too_much_are_inconclusive_and_say_how_many_would_tell() -> None:
    then, now = case(*ttft(drawn(5, 5, variation=0.1))), case(*ttft(drawn(3, 6, variation=0.1)))
    regression = compare(baseline(then), now, MARGIN)
    assert regression.outcome == "INCONCLUSIVE"
    assert "runs on each side would tell" in regression.reason


def test_a_shift_within_the_margin_is_never_a_regression() -> None:
    then, now = case(*ttft([1.0, 1.001, 1.002, 1.003, 1.004])), case(*ttft([1.03, 1.031, 1.032]))
    assert compare(baseline(then), now, MARGIN).outcome == "NO REGRESSION"
    assert compare(baseline(then), now, 0.01).outcome == "REGRESSION"


def test_fewer_throughput_is_worse_and_fewer_seconds_are_better() -> None:
    def runs(*values: float) -> list[Run]:
        return [Run({"output_tokens_per_second": value}) for value in values]

    then = case(*runs(100, 101, 102, 103, 104))
    less = compare(baseline(then), case(*runs(80, 81, 82)), MARGIN)
    more = compare(baseline(then), case(*runs(120, 121, 122)), MARGIN)
    assert (less.outcome, more.outcome) == ("REGRESSION", "NO REGRESSION")
    assert changed(less).ratio == pytest.approx(0.794, abs=0.01)
    assert "output_tokens_per_second -2" in less.reason


@pytest.mark.parametrize(("before", "after"), [(4, 3), (5, 2), (1, 1), (3, 3)])
def test_too_few_runs_are_refused_with_how_many_it_takes(before: int, after: int) -> None:
    regression = compare(baseline(case(*ttft(drawn(before, 1)))), case(*ttft(drawn(after, 2, level=3.0))), MARGIN)
    assert regression.outcome == "INCONCLUSIVE"
    assert "it takes 5 and 3" in regression.reason


def test_three_runs_against_three_could_hardly_find_anything() -> None:
    assert shift([1, 2, 3], [4, 5, 6]).chance == pytest.approx(0.05)
    assert shift([1, 2, 3, 4, 5], [6, 7, 8]).chance == pytest.approx(1 / 56)


def test_single_runs_are_judged_by_their_requests_which_is_weaker_and_said() -> None:
    then = case(*ttft([1.0], errors={"ttft.p50": 0.01}))

    def now(value: float) -> Regression:
        return compare(baseline(then), case(*ttft([value], errors={"ttft.p50": 0.01})), MARGIN)

    assert now(1.5).outcome == "REGRESSION"
    assert changed(now(1.5)).basis == "requests"
    # Two runs of the same thing may differ by so much.
    assert now(1.12).outcome == "INCONCLUSIVE"
    assert now(1.0).outcome == "INCONCLUSIVE"
    assert any("can never show that there is no regression" in note for note in now(1.0).notes)


def test_a_measured_noise_floor_is_the_least_margin() -> None:
    then, now = ttft([1.0, 1.01, 1.02, 1.03, 1.04]), ttft([1.1, 1.11, 1.12])
    noisy = Noise(10, {"ttft.p50": 0.4})
    assert compare(baseline(case(*then)), case(*now), MARGIN).outcome == "REGRESSION"
    regression = compare(baseline(case(*then, noise=noisy)), case(*now), MARGIN)
    assert regression.outcome != "REGRESSION"
    assert changed(regression).margin == pytest.approx(math.expm1(averaged(0.4, 5, 3)))
    quiet = Noise(10, {"ttft.p50": 0.001})
    assert changed(compare(baseline(case(*then, noise=quiet)), case(*now), MARGIN)).margin == pytest.approx(MARGIN)


def test_a_measured_noise_floor_makes_single_runs_tell_more() -> None:
    then = case(*ttft([1.0], errors={"ttft.p50": 0.001}), noise=Noise(10, {"ttft.p50": 0.02}))
    now = case(*ttft([1.1], errors={"ttft.p50": 0.001}))
    assert compare(baseline(then), now, MARGIN).outcome == "REGRESSION"


def test_the_noise_of_two_arms_is_the_95th_percentile_of_their_log_ratios() -> None:
    noise = measure_noise([{"ttft.p50": 1.0}, {"ttft.p50": 1.0}], [{"ttft.p50": 1.1}, {"ttft.p50": 1.0}])
    assert noise.runs == 4
    assert noise.floors["ttft.p50"] == pytest.approx(math.log(1.1), rel=0.2)
    arms = [[{"ttft.p50": value} for value in drawn(20, seed, variation=0.05)] for seed in (1, 2)]
    assert measure_noise(*arms).floors["ttft.p50"] == pytest.approx(1.96 * math.sqrt(2) * 0.05, rel=0.25)


def test_a_metric_that_is_gone_is_not_silently_passed() -> None:
    then = case(*(Run({"ttft.p50": 1.0 + n / 1000, "e2e.p50": 1.0}) for n in range(5)))
    regression = compare(baseline(then), case(*ttft([1.0, 1.001, 1.002])), MARGIN)
    assert regression.outcome == "INCONCLUSIVE"
    assert "e2e.p50: it was not reported this time" in regression.reason


def test_metrics_that_do_not_decide_are_shown_and_do_not_fail_a_case() -> None:
    then = case(*(Run({"ttft.p50": 1.0 + n / 1000, "ttft.p90": 1.0 + n / 1000}) for n in range(5)))
    now = case(*(Run({"ttft.p50": 1.0 + n / 1000, "ttft.p90": 2.0 + n / 1000}) for n in range(3)))
    regression = compare(baseline(then), now, MARGIN)
    assert regression.outcome == "NO REGRESSION"
    assert {change.metric: change.word for change in regression.changes}["ttft.p90"] == "REGRESSION"


def test_what_differs_between_then_and_now_is_said() -> None:
    then, now = case(*ttft(drawn(5, 1)), model="a"), case(*ttft(drawn(3, 2)), model="b", harness_version="0.8.0")
    notes = compare(baseline(then), now, MARGIN).notes
    assert "not as in the baseline: model: b, was a" in notes
    assert "not as in the baseline: harness_version: 0.8.0, was 0.7.0" in notes


def test_a_case_without_a_baseline_or_without_sound_runs_is_inconclusive() -> None:
    other = case(*ttft(drawn(5, 1)), name="other", workload="another")
    assert "no runs of this case" in compare(baseline(other), case(*ttft(drawn(3, 2))), MARGIN).reason
    assert "no run measured" in compare(baseline(case(*ttft([1.0]))), case(), MARGIN).reason


@pytest.mark.parametrize(("deviation", "runs"), [(0.02, 3), (0.05, 18)])
def test_the_runs_that_find_five_percent_are_the_known_ones(deviation: float, runs: int) -> None:
    assert runs_to_tell(deviation, 0.05) == runs


values = st.lists(st.floats(-5, 5), min_size=1, max_size=7, unique=True)


@given(values, values)
def test_the_chance_is_that_of_an_exact_rank_test(before: list[float], after: list[float]) -> None:
    if set(before) & set(after):
        return
    found = shift(before, after)
    expected = mannwhitneyu(after, before, alternative="greater", method="exact").pvalue
    assert found.chance == pytest.approx(float(expected))


@given(values, values)
def test_estimate_interval_and_test_agree(before: list[float], after: list[float]) -> None:
    found = shift(before, after)
    if found.low is not None and found.high is not None:
        assert found.low <= found.estimate <= found.high
        # Differences of zero count half, to the side that finds less.
        assert found.low <= 0 or found.chance <= LEVEL


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)
    below = sum(
        (shift(random.normal(0, 1, 5).tolist(), random.normal(0, 1, 3).tolist()).low or 0) > 0 for _ in range(4000)
    )
    assert below / 4000 == pytest.approx(2 / 56, abs=0.01)


def test_many_runs_are_told_by_the_normal_approximation() -> None:
    before, after = drawn(60, 1), drawn(60, 2, level=1.01)
    expected = mannwhitneyu(after, before, alternative="greater", method="asymptotic").pvalue
    assert shift(before, after).chance == pytest.approx(float(expected), rel=0.02)


def test_the_error_within_a_run_is_that_of_repeated_runs(tmp_path: Path) -> None:
    found, medians = [], []
    for seed in range(60):
        times = np.random.default_rng(seed).lognormal(0, 0.5, 1000)
        result = recorded(tmp_path, made(times))
        found.append(errors_of(result)["e2e.p99"])
        medians.append(math.log(np.quantile(times, 0.99)))
    assert np.median(found) == pytest.approx(np.std(medians), rel=0.3)


def test_the_error_within_a_run_knows_that_requests_of_a_queue_depend_on_each_other(tmp_path: Path) -> None:
    sent, times = queue(0.8, 4000, 3)
    busy = errors_of(recorded(tmp_path, made(times, sent)))["e2e.p50"]
    order = np.random.default_rng(1).permutation(len(times))
    shuffled = errors_of(recorded(tmp_path, made(times[order], sent)))["e2e.p50"]
    assert busy > 2 * shuffled


def test_too_few_requests_above_a_percentile_have_no_error() -> None:
    assert percentile_error(np.arange(1, 51, dtype=float), 99, 1.0) is None
    assert percentile_error(np.arange(1, 51, dtype=float), 50, 1.0) is not None
    assert percentile_error(np.array([]), 50, 1.0) is None


def test_values_of_a_run_leave_out_what_was_not_reported_and_zeros() -> None:
    whole = Stage(
        Requests(10), output_tokens_per_second=0.0, requests_per_second=2.0,
        latencies={"ttft": Distribution(mean=0.1, percentiles={50.0: 0.09})},
    )  # fmt: skip
    result = Result("h", "1", whole, economy={"cost": 3.0})
    assert values_of(result) == {"ttft.mean": 0.1, "ttft.p50": 0.09, "requests_per_second": 2.0, "cost": 3.0}
    assert set(values_of(result)) <= set(COMPARED)
    assert errors_of(result) == {}


def test_no_order_of_the_runs_changes_the_verdict() -> None:
    new = drawn(3, 2, level=1.1)
    told = {
        compare(baseline(case(*ttft(drawn(5, 1)))), case(*ttft(order)), MARGIN).reason
        for order in itertools.permutations(new)
    }
    assert len(told) == 1
