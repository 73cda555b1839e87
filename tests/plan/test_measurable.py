"""An objective that a load program never measures is refused before anything starts, with what it does measure."""

from __future__ import annotations

import pytest

from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.measurable import cannot_measure
from pytest_llmdbench.plan import Plan
from tests.plan.test_plan import AskedFor

HARNESSES = Harnesses()


def why(text: str, harness: str) -> str | None:
    return cannot_measure(parse_objective(text, "here"), HARNESSES(harness), {}, 0)


def test_latencies_of_a_program_that_keeps_none_are_refused_with_what_there_is() -> None:
    assert why("ttft.p99 <= 3s", "lm-eval") == (
        "objective 'ttft.p99 <= 3 s' (here): lm-eval does not measure ttft; there is error_rate, score. If it is meant "
        "for other loads, it belongs in their workloads or in the scenario"
    )


@pytest.mark.parametrize(
    ("text", "harness"),
    [
        ("score(sanity.answered) >= 80%", "inference-perf"),
        ("startup(ready_s) <= 60s", "guidellm"),
        ("error_rate <= 1%", "nop"),
        ("e2e.p90 <= 1s", "lm-eval"),
        ("goodput(ttft <= 1s) >= 95%", "lm-eval"),
    ],
)
def test_what_loads_of_another_purpose_measure_is_refused(text: str, harness: str) -> None:
    assert f"{harness} does not measure" in (why(text, harness) or "")


@pytest.mark.parametrize(
    ("text", "harness"),
    [
        ("ttft.p99@stage2 <= 1s", "inference-perf"),
        ("goodput(ttft <= 1s, tpot <= 50ms) >= 95%", "vllm-benchmark"),
        ("cost <= 1", "aiperf"),
        ("error_rate <= 1%", "lm-eval"),
        ("startup(ready_s) <= 60s", "nop"),
    ],
)
def test_what_a_load_measures_is_let_through(text: str, harness: str) -> None:
    assert why(text, harness) is None


def test_a_score_that_depends_on_tasks_which_nobody_knows_is_let_through() -> None:
    assert why("score(anything.at_all) >= 1", "lm-eval") is None


def test_an_objective_of_an_option_holds_for_those_of_several_harnesses_that_measure_it() -> None:
    asked = {"scenario": ["local"], "slo": ["ttft.p90 <= 1s"], "harness": ["inference-perf", "lm-eval"]}
    plan = Plan(Places([shipped_root()]), AskedFor(asked), Harnesses(), ("local",))
    metrics = {
        case.load.harness.name: {one.metric for one in plan.objectives(case, ())} for case in plan.cases(["sanity"])
    }
    assert "ttft" in metrics["inference-perf"]
    assert metrics["lm-eval"] == {"error_rate"}
