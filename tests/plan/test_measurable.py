"""An objective that a load program never measures is refused before anything starts, with what it does measure."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_llmdbench.case import Case
from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.harnesses.harness import Profile
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.measurable import cannot_measure
from pytest_llmdbench.plan import Plan
from tests.plan.planned import possible
from tests.plan.test_plan import AskedFor

HARNESSES = Harnesses()
#: What a profile says for its answers to be streamed, and what one says that does not, where that is a choice.
STREAMED: dict[str, Profile] = {
    "inference-perf": {"api": {"type": "completion", "streaming": True}},
    "aiperf": {"streaming": "none"},
    "guidellm": {"spec": {"backend": {"kind": "openai_http"}}},
}
WHOLE: dict[str, Profile] = {
    "inference-perf": {"api": {"type": "completion"}},
    "aiperf": {"streaming": False},
    "guidellm": {"spec": {"backend": {"kind": "openai_http", "stream": False}}},
}


def why(text: str, harness: str, profiles: Mapping[str, Profile] = STREAMED) -> str | None:
    return cannot_measure(parse_objective(text, "here"), HARNESSES(harness), profiles.get(harness, {}), 0)


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
        ("itl.p99 <= 1s", "aiperf"),
        ("ttft.p99 <= 1s", "guidellm"),
        ("error_rate <= 1%", "lm-eval"),
        ("startup(ready_s) <= 60s", "nop"),
    ],
)
def test_what_a_load_measures_is_let_through(text: str, harness: str) -> None:
    assert why(text, harness) is None


@pytest.mark.parametrize("text", ["ttft.p99 <= 1s", "tpot.mean <= 1s", "itl.p99 <= 1s", "goodput(ttft <= 1s) >= 95%"])
@pytest.mark.parametrize(
    ("harness", "key"),
    [
        ("inference-perf", "api.streaming: true"),
        ("aiperf", "streaming: true"),
        ("guidellm", "spec.backend.stream: true"),
    ],
)
def test_times_of_tokens_are_refused_for_answers_that_are_not_streamed(text: str, harness: str, key: str) -> None:
    told = why(text, harness, WHOLE) or ""
    assert f"{harness} will not measure " in told
    if not (harness == "guidellm" and text.startswith("itl")):
        assert told.endswith(f"of this load: its answers are not streamed; say '{key}' in the workload")


@pytest.mark.parametrize("harness", WHOLE)
def test_what_needs_no_stream_is_let_through_without_one(harness: str) -> None:
    told = [why(text, harness, WHOLE) for text in ("e2e.p99 <= 9s", "error_rate <= 1%", "goodput(e2e <= 1s) >= 95%")]
    assert told == [None, None, None]


def test_gaps_of_a_program_that_keeps_none_are_refused() -> None:
    assert (why("itl.p99 <= 50ms", "guidellm") or "").endswith(
        "guidellm will not measure itl of this load: it keeps no single gaps; tpot is their mean for each request"
    )


@pytest.mark.parametrize("harness", STREAMED)
def test_every_shipped_workload_streams(harness: str) -> None:
    program = HARNESSES(harness)
    for path in sorted((shipped_root() / "workloads" / harness).glob("*.yaml")):
        profile = load_workload(path, harness).profile
        assert cannot_measure(parse_objective("ttft.p99 <= 1s", "here"), program, profile, 0) is None, path


def test_a_score_that_depends_on_tasks_which_nobody_knows_is_let_through() -> None:
    assert why("score(anything.at_all) >= 1", "lm-eval") is None


def test_an_objective_of_an_option_holds_for_those_of_several_harnesses_that_measure_it() -> None:
    asked = {"scenario": ["local"], "slo": ["ttft.p90 <= 1s"], "harness": ["inference-perf", "lm-eval"]}
    plan = Plan(Places([shipped_root()]), AskedFor(asked), Harnesses(), ("local",))
    metrics = {
        case.load.harness.name: {one.metric for one in plan.objectives(case, ())}
        for case in possible(plan.cases(["sanity"]))
        if isinstance(case, Case)
    }
    assert "ttft" in metrics["inference-perf"]
    assert metrics["lm-eval"] == {"error_rate"}
