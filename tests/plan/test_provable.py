"""A load that cannot prove what is asked of it is refused before anything starts, with what would."""

from __future__ import annotations

import pytest

from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.declared.warmup import Warmup
from pytest_llmdbench.harnesses.harness import PlannedStage
from pytest_llmdbench.provable import cannot_prove, hardest_to_prove, planned_requests
from pytest_llmdbench.repeats import Repeats

STAGES = [PlannedStage(rate=1, duration_s=20, requests=20), PlannedStage(rate=4, duration_s=20, requests=80)]


def why(text: str, stages: list[PlannedStage] = STAGES, **more: object) -> str | None:
    return cannot_prove(parse_objective(text, "here"), stages, Warmup(), **more)  # type: ignore[arg-type]


def test_what_is_needed_is_said_with_the_ways_to_it() -> None:
    assert why("ttft.p99 <= 1s") == (
        "objective 'ttft.p99 <= 1 s' (here) takes 299 requests to prove, all of them good (95% sure); "
        "this load has 100: make it 3 times as long (--llmd-overrides duration=60), or ask for ttft.p95 "
        "in its place, in here"
    )


def test_of_several_the_one_that_takes_most_is_said_first_and_the_others_with_it() -> None:
    objectives = [parse_objective(text, "here") for text in ("ttft.p90@stage0<=1s", "e2e.p99<=9s", "tpot.p99.9<=1s")]
    said = hardest_to_prove(objectives, STAGES, Warmup()) or ""
    assert said.startswith("objective 'tpot.p99.9 <= 1 s' (here) takes 2995 requests to prove")
    assert said.endswith("; it is too short for 'ttft.p90@stage0 <= 1 s' (here), 'e2e.p99 <= 9 s' (here) as well")


@pytest.mark.parametrize("requests", [24, 29, 77, 123])
def test_a_load_that_is_as_much_longer_as_was_said_is_let_through(requests: int) -> None:
    said = why("ttft.p99 <= 1s", [PlannedStage(concurrency=1, requests=requests)]) or ""
    times = float(said.partition("make it ")[2].partition(" times")[0])
    assert why("ttft.p99 <= 1s", [PlannedStage(concurrency=1, requests=int(requests * times))]) is None


def test_a_lower_percentile_takes_the_place_of_the_one_that_was_declared() -> None:
    objective = parse_objective("ttft.p99 <= 1s", "scenarios/mine.yaml:7")
    said = cannot_prove(objective, STAGES, Warmup()) or ""
    assert said.endswith(", or ask for ttft.p95 in its place, in scenarios/mine.yaml:7")


@pytest.mark.parametrize(
    "text",
    ["ttft.p95 <= 1s", "ttft.mean <= 1s", "error_rate <= 0.1%", "goodput(ttft<=1s) >= 95%", "tpot.p90@stage1<=1s"],
)
def test_what_the_load_can_prove_is_let_through(text: str) -> None:
    assert why(text) is None


def test_a_stage_is_counted_for_itself() -> None:
    assert "this load has 20 of stage 0" in (why("ttft.p90@stage0 <= 1s") or "")


def test_a_goodput_needs_requests_like_a_percentile() -> None:
    assert "takes 299 requests" in (why("goodput(ttft<=1s) >= 99%") or "")


def test_a_load_that_nobody_can_count_is_not_refused() -> None:
    assert why("ttft.p99 <= 1s", [PlannedStage(concurrency=4)]) is None
    assert why("ttft.p99 <= 1s", []) is None


def test_repeated_runs_add_up() -> None:
    assert why("ttft.p99 <= 1s", repeats=Repeats(3)) is None


def test_runs_that_there_may_be_count_and_each_look_has_to_be_surer() -> None:
    assert Repeats().confidence == 0.95
    assert Repeats(2, 4).confidence == pytest.approx(0.99)
    assert why("ttft.p99 <= 1s", repeats=Repeats(1, 4)) is None  # 459 of 500
    said = why("ttft.p99 <= 1s", repeats=Repeats(1, 3)) or ""
    assert "takes 437 requests" in said
    assert "(98.8% sure); this load has 400 in 4 runs" in said


def test_stages_that_are_warm_up_do_not_count() -> None:
    assert planned_requests(STAGES, None, Warmup(stages=1)) == 80
    assert planned_requests(STAGES, None, Warmup()) == 100
