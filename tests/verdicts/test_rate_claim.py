"""What a search for the highest rate comes to: when its test passes, fails, or cannot tell."""

from __future__ import annotations

import json
import math

import pytest

from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.declared.rate_range import RateRange, rate_range
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.verdicts.excess import limits_rate, worst_excess
from pytest_llmdbench.verdicts.judged import Judged
from pytest_llmdbench.verdicts.rate_claim import Point, RateFound, claim, found
from pytest_llmdbench.verdicts.verdict import Outcome

ASKED = RateRange(1, 50)


def point(rate: float, outcome: Outcome) -> Point:
    return Point(rate, outcome in ("PASS", "INCONCLUSIVE"), outcome, "1 of 1 objective missed", True, 500)


MISSED, BARELY, PROVEN = point(21, "FAIL"), point(20, "INCONCLUSIVE"), point(15, "PASS")
LATE = point(21, "INVALID")


def answer(above: Point | None = MISSED, settled: bool = True) -> RateFound:
    points = [one for one in (above, BARELY, PROVEN) if one]
    return found(20, above, settled, points)


def test_a_test_that_only_asks_passes_when_the_limit_of_the_slo_was_found() -> None:
    outcome, reason = claim(answer(), ASKED, "INCONCLUSIVE", "300 requests cannot tell")
    assert outcome == "PASS"
    assert reason == (
        "highest rate under the SLO: 20 requests/s, missed at 21, proven up to 15; 3 runs"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (answer(None), "give a larger 'high'"),
        (answer(LATE), "what the stack could serve beyond that is not known"),
        (answer(settled=False), "make them longer"),
    ],
    ids=["the range ends", "the load program cannot keep up", "runs contradict each other"],
)
def test_without_that_limit_it_is_inconclusive_and_says_why(there: RateFound, said: str) -> None:
    outcome, reason = claim(there, ASKED, "PASS", "1 objective met")
    assert outcome == "INCONCLUSIVE"
    assert said in reason


def test_another_objective_that_is_missed_at_the_highest_rate_fails_it() -> None:
    outcome, reason = claim(answer(), ASKED, "FAIL", "1 of 2 objectives missed")
    assert outcome == "FAIL"
    assert reason.endswith("there: 1 of 2 objectives missed")


def test_nothing_met_fails_and_nothing_measured_is_invalid() -> None:
    missed, late = point(1, "FAIL"), point(1, "INVALID")
    assert claim(found(None, missed, True, [missed]), ASKED, "FAIL", "") == (
        "FAIL", "not even 1 requests/s meets the SLO: 1 of 1 objective missed",
    )  # fmt: skip
    assert claim(found(None, late, True, [late]), ASKED, "INVALID", "")[0] == "INVALID"


@pytest.mark.parametrize(
    ("at_least", "there", "own", "outcome"),
    [
        (15, answer(), "INCONCLUSIVE", "PASS"),
        (10, answer(), "INCONCLUSIVE", "PASS"),
        (10, answer(LATE), "INCONCLUSIVE", "PASS"),
        (10, answer(None), "INCONCLUSIVE", "PASS"),
        (18, answer(), "INCONCLUSIVE", "INCONCLUSIVE"),
        (20.5, answer(), "FAIL", "FAIL"),
        (21, answer(), "INCONCLUSIVE", "FAIL"),
        (30, answer(), "INCONCLUSIVE", "FAIL"),
        (30, answer(LATE), "INCONCLUSIVE", "INVALID"),
        (18, answer(LATE), "INCONCLUSIVE", "INCONCLUSIVE"),
    ],
)
def test_a_rate_that_is_demanded_has_to_be_proven(
    at_least: float, there: RateFound, own: Outcome, outcome: Outcome
) -> None:
    said, reason = claim(there, RateRange(1, 50, at_least=at_least), own, "300 requests cannot tell")
    assert said == outcome
    assert f"{at_least:g} requests/s asked for" in reason


def test_a_rate_above_one_that_was_missed_is_not_proven_by_a_run_that_had_luck() -> None:
    missed = point(8, "FAIL")
    there = found(7.5, missed, True, (point(7.5, "PASS"), missed, point(10, "PASS")))
    said, reason = claim(there, RateRange(1, 50, at_least=9), "PASS", "1 objective met")
    assert said == "INCONCLUSIVE"
    assert "missed at 8, proven up to 10" in reason


def test_what_was_found_is_plain_data_with_its_curve_in_the_order_of_the_rate() -> None:
    data = json.loads(json.dumps(answer().to_json(ASKED)))
    assert (data["rate"], data["above"], data["proven"], data["limit"], data["runs"]) == (20, 21, 15, "slo", 3)
    assert [one["rate"] for one in data["curve"]] == [15, 20, 21]
    assert data["asked"]["tolerance"] == 0.05


@pytest.mark.parametrize(("given", "share"), [("5%", 0.05), ("0.5 %", 0.005), (0.1, 0.1)])
def test_a_tolerance_is_a_share(given: object, share: float) -> None:
    assert rate_range({"low": 1, "high": 2, "tolerance": given}, "test").tolerance == pytest.approx(share)


@pytest.mark.parametrize("given", ["5", "0%", "90%", 0, True, None, float("nan"), [5]])
def test_a_tolerance_that_is_none_is_refused(given: object) -> None:
    with pytest.raises(DeclarationError, match="tolerance= must be from"):
        rate_range({"low": 1, "high": 2, "tolerance": given}, "test")


def judged(text: str, value: float | None, bad: float | None = None, requests: int | None = None) -> Judged:
    return Judged(parse_objective(text, "test"), "INCONCLUSIVE", value, bad=bad, requests=requests)


def test_the_excess_is_that_of_the_worst_objective() -> None:
    good, worse = judged("ttft.p90 <= 500ms", 0.25, 2, 100), judged("tpot.mean <= 50ms", 0.1)
    assert worst_excess([good]) == pytest.approx(math.log(0.5))
    assert worst_excess([good, worse]) == pytest.approx(math.log(2))
    assert worst_excess([judged("error_rate <= 1%", 0.0)]) == -math.inf


def test_failed_requests_count_though_they_have_no_latency() -> None:
    assert worst_excess([judged("ttft.p90 <= 500ms", 0.25, bad=40, requests=100)]) == pytest.approx(math.log(4))


def test_goodput_goes_by_the_share_of_bad_requests() -> None:
    text = "goodput(ttft <= 500ms) >= 95%"
    assert worst_excess([judged(text, 0.9, bad=10, requests=100)]) == pytest.approx(math.log(2))
    assert worst_excess([judged(text, 1.0, bad=0, requests=100)]) == pytest.approx(math.log(0.1))


def test_what_was_not_reported_has_no_excess() -> None:
    assert worst_excess([judged("ttft.p90 <= 500ms", 0.1), judged("tpot.mean <= 50ms", None)]) is None


def test_only_what_a_higher_rate_can_miss_limits_it() -> None:
    limiting = ["ttft.p99 <= 1s", "itl.mean <= 1s", "goodput(e2e <= 1s) >= 9%", "error_rate <= 1%"]
    others = ["output_tokens_per_second >= 5", "cost <= 3", "requests_per_second >= 1"]
    assert all(limits_rate(parse_objective(text, "test")) for text in limiting)
    assert not any(limits_rate(parse_objective(text, "test")) for text in others)
