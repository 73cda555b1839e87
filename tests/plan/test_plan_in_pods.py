"""A harness whose program is an image of its own is planned where its pods can run, and refused elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdbench.case import Case
from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.plan import Plan
from pytest_llmdbench.planned_slo import unprovable
from tests.plan.planned import possible
from tests.plan.test_plan import AskedFor

WAYS = ("local", "standalone", "modelservice", "endpoint")
EVALS = "ghcr.io/exgentic/evals"


def planned(**asked: Any) -> Plan:
    return Plan(Places([shipped_root()]), AskedFor(asked), Harnesses(), WAYS)


def cases(workload: str, **asked: Any) -> list[Case]:
    return possible(planned(**asked).cases([workload]))


def of_image(image: str, workload: str, **asked: Any) -> list[Case]:
    return cases(workload, scenario=["agentic-evaluation"], set=[f"load.image={image}"], **asked)


def test_an_agentic_evaluation_is_planned_on_the_scenario_for_it() -> None:
    (case,) = cases("aider-polyglot", scenario=["agentic-evaluation"], parallelism=225)
    assert case.id == "agentic-evaluation-eval-containers-aider-polyglot"


def test_more_load_pods_than_tasks_are_refused_before_anything_starts() -> None:
    with pytest.raises(DeclarationError, match=r"agentic-evaluation-eval-containers-gaia: .* at most 165 pods"):
        of_image(f"{EVALS}/gaia--codex-standalone:latest", "gaia", parallelism=166)


def test_on_this_machine_an_agentic_evaluation_is_refused_before_anything_starts() -> None:
    with pytest.raises(DeclarationError, match=r"local-eval-containers-gaia: .*load pods of a cluster alone"):
        cases("eval-containers/gaia", scenario=["local"])


def test_a_benchmark_with_every_harness_leaves_out_one_that_has_no_such_workload() -> None:
    assert "eval-containers" not in {case.load.harness.name for case in cases("sanity", harness=["all"])}


def test_an_image_of_another_benchmark_is_refused_before_anything_starts() -> None:
    with pytest.raises(DeclarationError) as refused:
        cases("gaia", scenario=["agentic-evaluation"])
    assert str(refused.value) == (
        "agentic-evaluation-eval-containers-gaia: load.image is an image of the benchmark 'aider-polyglot' "
        f"({EVALS}/aider-polyglot--gemini-cli-standalone:latest), and the workload is of 'gaia': name that one's image "
        f"(--llmd-set load.image={EVALS}/gaia--AGENT-standalone), or take a workload of 'aider-polyglot'"
    )


@pytest.mark.parametrize(
    "image",
    [
        f"{EVALS}/gaia--codex-standalone:latest",
        "registry.example:5000/mirror/evals/gaia--codex@sha256:0a1b",
        "registry.example/mirror/aider-polyglot--codex:latest",
        "registry.example/mirror/agents:aider-polyglot",
    ],
)
def test_an_image_that_is_or_may_be_of_the_workload_s_benchmark_is_planned(image: str) -> None:
    assert len(of_image(image, "gaia")) == 1


def refusal(workload: str, **asked: Any) -> str | None:
    """Why what was asked of the one case of a workload can never be judged."""
    plan = planned(**asked)
    (case,) = possible(plan.cases([workload]))
    return unprovable(case, plan.objectives(case, ()))


def test_a_score_that_an_agentic_evaluation_does_not_have_is_refused_with_those_there_are() -> None:
    assert refusal("aider-polyglot", scenario=["agentic-evaluation"], slo=["score(nonsense)>=1"]) == (
        "agentic-evaluation-eval-containers-aider-polyglot: objective 'score(nonsense) >= 1' (--llmd-slo): this load "
        "has no score 'nonsense'; there is cpp.pass_rate, cpp.tasks, crashed, pass_rate, passed, reward, task_s, "
        "tasks, timed_out, ungraded"
    )


def test_a_score_of_a_language_takes_a_task_of_it() -> None:
    rust: dict[str, Any] = {"scenario": ["agentic-evaluation"], "parallelism": 6, "slo": ["score(rust.pass_rate)>=0.3"]}
    assert "no score 'rust.pass_rate'" in (refusal("aider-polyglot", **rust) or "")
    assert refusal("aider-polyglot", **rust, overrides=["task_ids=[3,30,70,120,170,200]"]) is None


@pytest.mark.parametrize("objective", ["ttft.p99<=3s", "goodput(e2e<=1min,tpot<=50ms)>=95%", "startup(ready_s)<=60s"])
def test_what_an_agentic_evaluation_does_not_measure_is_refused(objective: str) -> None:
    said = refusal("aider-polyglot", scenario=["agentic-evaluation"], slo=[objective]) or ""
    assert "eval-containers does not measure" in said
    assert "there is e2e, normalized_tpot, goodput, error_rate" in said


def test_what_an_agentic_evaluation_measures_is_let_through() -> None:
    asked = ["e2e.p90<=2min", "goodput(e2e<=1min)>=50%", "score(task_s)<=10min", "output_tokens_per_second>=10"]
    assert refusal("aider-polyglot", scenario=["agentic-evaluation"], slo=asked) is None


def test_what_a_scenario_asks_of_latencies_is_left_out_of_an_agentic_evaluation() -> None:
    plan = planned(scenario=["agentic-evaluation"])
    (case,) = possible(plan.cases(["aider-polyglot"]))
    assert [one.text for one in plan.objectives(case, ())] == ["error_rate <= 5%", "score(ungraded) <= 0"]
