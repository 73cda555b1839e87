"""A verdict never flatters: nothing measured, too many failures or a lame simulator are not a pass."""

import pytest

from pytest_llmdbench.declared.objective import parse_objectives
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage
from pytest_llmdbench.verdicts.judged import measured
from pytest_llmdbench.verdicts.verdict import RunInvalid, SLOMissed, Verdict, assert_verdict, judge


def result(
    completed: int = 100, failed: dict[str, int] | None = None, tokens: int | None = 3200, **server: object
) -> Result:
    whole = Stage(
        requests=Requests(completed, failed or {}),
        output_tokens=tokens,
        output_tokens_per_second=320.0,
        latencies={"ttft": Distribution(mean=0.05, percentiles={50.0: 0.05, 99.0: 0.08})} if completed else {},
    )
    slow = Stage(Requests(50), latencies={"ttft": Distribution(percentiles={99.0: 0.5})})
    return Result("inference-perf", "0.7.0", whole, stages=(whole, slow), server=server)


def verdict_on(given: Result, *texts: str, max_error_rate: float = 0.0) -> Verdict:
    return judge(given, parse_objectives(texts, "test"), max_error_rate)


def test_a_sound_run_within_all_bounds_passes() -> None:
    verdict = verdict_on(result(), "ttft.p99<=100ms", "output_tokens_per_second>=300")
    assert (verdict.outcome, verdict.reason) == ("PASS", "2 objectives met")
    assert verdict.notes == (
        "there are no single requests: percentiles are as the load program reports them, unproven",
    )
    assert_verdict(verdict)


def test_a_missed_objective_fails_and_all_are_shown_with_value_and_bound() -> None:
    verdict = verdict_on(result(), "ttft.p50<=1s", "ttft.p99<=1ms", "output_tokens_per_second>=2000")
    assert verdict.outcome == "FAIL"
    with pytest.raises(SLOMissed) as caught:
        assert_verdict(verdict)
    assert str(caught.value).splitlines() == [
        "FAIL: 2 of 3 objectives missed",
        "MISSED  ttft.p99                  80 ms   <= 1 ms  x80     (test)",
        "MISSED  output_tokens_per_second  320     >= 2000  +84.0%  (test)",
        "ok      ttft.p50                  0.05 s  <= 1 s   -95.0%  (test)",
        "note: there are no single requests: percentiles are as the load program reports them, unproven",
    ]


def test_a_metric_that_was_not_reported_misses_its_objective() -> None:
    verdict = verdict_on(result(), "tpot.p99<=1s")
    assert verdict.outcome == "FAIL"
    assert "NOT REPORTED" in verdict.table()


def test_no_objectives_pass_only_as_having_run() -> None:
    assert verdict_on(result()).reason == "the load ran; no objectives were declared"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            result(completed=0, failed={"404 - other": 50}, tokens=None),
            "no request completed, of 50 sent (50 x 404 - other)",
        ),
        (result(completed=0), "no request completed, of 0 sent"),
        (result(tokens=0), "100 requests completed, but no output token came out"),
        (result(tokens=None), "no output token came out"),
        (result(failed={"500": 25}), "25 of 125 requests failed (20.0%; sanity.max_error_rate allows 0.0%) (25 x 500)"),
    ],
)
def test_what_is_not_sane_fails_before_any_objective_is_looked_at(given: Result, reason: str) -> None:
    verdict = verdict_on(given, "ttft.p50<=10s")
    assert verdict.outcome == "FAIL"
    assert reason in verdict.reason


def test_failures_within_the_declared_share_are_sane() -> None:
    assert verdict_on(result(failed={"500": 1}), "error_rate<=2%", max_error_rate=0.02).outcome == "PASS"


def test_a_simulator_that_could_not_keep_its_time_makes_the_run_invalid_not_slow() -> None:
    verdict = verdict_on(result(lateness={"overloaded": True, "late_p99_s": 0.031}), "ttft.p99<=1ms")
    assert verdict.outcome == "INVALID"
    assert "31.0 ms late" in verdict.reason
    with pytest.raises(RunInvalid):
        assert_verdict(verdict)


@pytest.mark.parametrize(
    ("objective", "outcome"),
    [
        ("ttft.p99<=10s", "PASS"),  # met by far more than it was late
        ("ttft.p99<=100ms", "INVALID"),  # met by less
        ("ttft.p99<=70ms", "INVALID"),  # missed by less
        ("ttft.p99@stage1<=100ms", "FAIL"),  # missed by far more than it was late, and what it lost
        ("output_tokens_per_second>=1", "PASS"),
        ("output_tokens_per_second>=1000", "INVALID"),
        ("error_rate<=1%", "PASS"),
    ],
)
def test_what_comes_out_alike_of_a_simulator_in_time_stands(objective: str, outcome: str) -> None:
    late = {"overloaded": True, "late_p99_s": 0.031, "lost_s": 0.05}
    verdict = verdict_on(result(lateness=late), objective)
    assert verdict.outcome == outcome
    assert any("31.0 ms late" in one for one in (*verdict.notes, verdict.reason))


def test_an_objective_on_a_stage_looks_at_that_stage_alone() -> None:
    (late, absent) = parse_objectives(["ttft.p99@stage1<=1s", "ttft.p99@stage9<=1s"], "test")
    assert measured(result(), late) == 0.5
    assert measured(result(), absent) is None


def test_an_error_rate_needs_requests() -> None:
    (rate,) = parse_objectives(["error_rate<=1%"], "test")
    assert measured(result(completed=0), rate) is None
    assert measured(result(completed=3, failed={"x": 1}), rate) == 0.25
