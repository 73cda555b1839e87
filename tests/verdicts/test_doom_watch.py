"""A load that runs is watched by what it has finished: it is given up when it cannot pass, and not before."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_llmdbench.declared.objective import Objective, parse_objectives
from pytest_llmdbench.declared.warmup import AUTO, Warmup
from pytest_llmdbench.doom_watch import DoomWatch, by_requests, by_servers, servers_tell
from pytest_llmdbench.harnesses.harness import Progress
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.verdicts.doomed import Doom
from pytest_llmdbench.watched import Seen, seen_by, unwatched_s, watchable


def objectives(*texts: str) -> tuple[Objective, ...]:
    return parse_objectives(texts, "test")


def request(ttft: float | None = 0.1, *, sent: float = 0.0, stage: int = 0, outcome: str = "completed") -> Request:
    return Request(stage, sent, sent + 1.0, outcome, None, 5, 4, 4, ttft, 0.01)  # type: ignore[arg-type]


def seen(text: str, *requests: Request) -> list[bool]:
    (objective,) = objectives(text)
    return [bool(one.bad) for one in seen_by(objective, requests)]


def test_a_request_is_bad_when_it_misses_the_bound_or_failed() -> None:
    given = (request(0.1), request(0.9), request(outcome="failed"))
    assert seen("ttft.p99<=500ms", *given) == [False, True, True]


def test_what_says_nothing_is_not_counted() -> None:
    assert seen("ttft.p99<=500ms", request(None), request(outcome="unfinished")) == []
    assert seen("ttft.p99@stage1<=500ms", request(0.1), request(0.9, stage=1)) == [True]


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("e2e.p99<=900ms", True), ("e2e.p99<=1s", False), ("tpot.p99<=5ms", True), ("normalized_tpot.p99<=200ms", True),
        ("goodput(ttft<=500ms, tpot<=5ms) >= 99%", True), ("goodput(ttft<=500ms, tpot<=20ms) >= 99%", False),
    ],
)  # fmt: skip
def test_every_objective_on_a_share_of_requests_can_be_watched(text: str, bad: bool) -> None:
    assert seen(text, request(0.1)) == [bad]


def test_only_what_the_first_requests_can_tell_is_watched() -> None:
    asked = objectives("ttft.p99<=1s", "ttft.mean<=1s", "itl.p99<=1s", "error_rate<=1%", "tpot.p90@stage1<=1s")
    assert [one.subject for one in watchable(asked, 1, AUTO)] == ["ttft.p99", "tpot.p90@stage1"]
    # Of a load of several stages the first says nothing of the whole.
    assert [one.subject for one in watchable(asked, 2, AUTO)] == ["tpot.p90@stage1"]
    assert watchable(asked, 2, Warmup(stages=2)) == ()


@pytest.mark.parametrize(
    ("warmup", "expected_s", "seconds"),
    [(Warmup(), 600.0, 0.0), (Warmup(seconds=30), 600.0, 30.0), (AUTO, 60.0, 0.0), (AUTO, 300.0, 30.0),
     (AUTO, 3600.0, 60.0), (AUTO, None, 60.0)],
)  # fmt: skip
def test_what_a_verdict_may_leave_out_is_not_counted(warmup: Warmup, expected_s: float | None, seconds: float) -> None:
    assert unwatched_s(warmup, expected_s) == seconds


def test_it_is_given_up_with_the_counts_and_the_evidence() -> None:
    (objective,) = asked = objectives("ttft.p99<=500ms")
    came: list[Sequence[Request]] = [[request()] * 20, [request(), request(0.9)] * 20, []]
    look = DoomWatch(asked).over(by_requests(asked, lambda: came.pop(0), 0.0))
    assert look(1.0) is None
    assert look(1.5) is None  # too soon to look again
    assert len(came) == 2
    said = look(2.0)
    assert said is not None
    assert said.startswith("given up after 60 requests, 20 of them bad for 'ttft.p99 <= 500 ms', which allows 0.01 of")
    assert "20:1 is enough" in said
    assert objective.allowed == pytest.approx(0.01)


def test_among_several_objectives_it_takes_more_evidence() -> None:
    asked = objectives("ttft.p99<=500ms", "tpot.p99<=500ms", "e2e.p99<=5s")
    look = DoomWatch(asked).over(by_requests(asked, lambda: [request(0.9)] * 40, 0.0))
    assert "60:1 is enough" in (look(1.0) or "")


def test_the_evidence_of_earlier_runs_counts_and_their_warm_up_does_not() -> None:
    asked = objectives("ttft.p99<=500ms")
    watch = DoomWatch(asked)
    runs = [[request(0.9, sent=base + number) for number in range(20)] for base in (0.0, 1000.0)]
    first = watch.over(by_requests(asked, lambda: runs.pop(0), 5.0))
    assert first(1.0) is None
    said = watch.over(by_requests(asked, lambda: runs.pop(0), 5.0))(1.0)
    assert said is not None
    assert said.startswith("given up after 30 requests, 30 of them bad")


def told(count: float, *reached: tuple[float, float]) -> dict[str, object]:
    return {"count": count, "buckets": [list(one) for one in reached]}


def test_by_the_servers_only_what_is_surely_over_the_bound_is_bad() -> None:
    asked = objectives("ttft.p99<=300ms", "e2e.p99<=90s", "goodput(ttft<=1s, tpot<=1s) >= 99%")
    answers = [
        {"ttft": told(0, (0.25, 0), (0.5, 0)), "e2e": told(0, (60, 0))},
        {"ttft": told(10, (0.25, 4), (0.5, 7)), "e2e": told(8, (60, 2))},
        {"ttft": told(11, (0.25, 4), (0.5, 8)), "e2e": told(8, (60, 2))},
    ]
    failed = iter([0, 0, 2])
    look = by_servers(asked, lambda: answers.pop(0), lambda: Progress(0, next(failed)), 0.0)
    assert list(look()) == [[], [], []]
    # Of the six above 250 ms three are above 500 ms; that 90 s were exceeded no bucket can tell.
    assert list(look()) == [[Seen(3, 10)], [Seen(0, 8)], [Seen(0, 10)]]
    assert list(look()) == [[Seen(2, 3)], [Seen(2, 2)], [Seen(2, 3)]]


def test_a_server_that_says_nothing_or_was_restarted_takes_nothing_back() -> None:
    asked = objectives("ttft.p99<=500ms")
    answers = [{"ttft": told(10, (0.5, 5))}, {}, {"ttft": told(4, (0.5, 4))}]
    look = by_servers(asked, lambda: answers.pop(0), Progress, 0.0)
    assert [list(look()) for _ in range(3)] == [[[Seen(5, 10)]], [[]], [[Seen(0, 4)]]]


def test_of_the_warm_up_nothing_is_counted() -> None:
    asked = objectives("ttft.p99<=500ms")
    counts = iter([10, 20, 30])
    times = iter([100.0, 100.0, 105.0, 130.0])
    look = by_servers(asked, lambda: {"ttft": told(next(counts), (0.5, 0))}, Progress, 20.0, lambda: next(times))
    assert [list(look()) for _ in range(3)] == [[[]], [[]], [[Seen(10, 10)]]]


def test_servers_know_of_what_they_have_histograms_of() -> None:
    asked = objectives("ttft.p99<=1s", "normalized_tpot.p99<=1s", "goodput(ttft<=1s, e2e<=9s) >= 99%")
    assert [servers_tell(one) for one in asked] == [True, False, True]


def test_bad_requests_in_a_row_are_worth_less_than_as_many_apart() -> None:
    apart, together = Doom(0.01), Doom(0.01)
    for number in range(400):
        apart.add(number % 40 == 0, 1)
        together.add(100 <= number < 110, 1)
    assert apart.bad == together.bad == 10
    assert together.dispersion > 4 > apart.dispersion
    assert together.evidence < apart.evidence


def test_many_looks_are_kept_as_few() -> None:
    doom = Doom(0.01)
    for number in range(20_000):
        doom.add(number % 200 == 0, 1)
    assert (doom.bad, doom.number) == (100, 20_000)
    assert len(doom._looks) <= 4096
    assert not doom.doomed


def test_few_requests_are_not_believed() -> None:
    doom = Doom(0.01)
    doom.add(20, 20)
    assert not doom.doomed
    doom.add(10, 10)
    assert doom.doomed
