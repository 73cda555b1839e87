"""A harness whose program is an image of its own is planned where its pods can run, and refused elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.plan import Case, Plan
from tests.plan.test_plan import AskedFor

WAYS = ("local", "standalone", "modelservice", "endpoint")


def cases(workload: str, **asked: Any) -> list[Case]:
    plan = Plan(Places([shipped_root()]), AskedFor(asked), Harnesses(), WAYS)
    return plan.cases([workload])


def test_an_agentic_evaluation_is_planned_on_the_scenario_for_it() -> None:
    (case,) = cases("aider-polyglot", scenario=["agentic-evaluation"], parallelism=225)
    assert case.id == "agentic-evaluation-eval-containers-aider-polyglot"


def test_more_load_pods_than_tasks_are_refused_before_anything_starts() -> None:
    with pytest.raises(DeclarationError, match=r"agentic-evaluation-eval-containers-gaia: .* at most 165 pods"):
        cases("gaia", scenario=["agentic-evaluation"], parallelism=166)


def test_on_this_machine_an_agentic_evaluation_is_refused_before_anything_starts() -> None:
    with pytest.raises(DeclarationError, match=r"local-eval-containers-gaia: .*load pods of a cluster alone"):
        cases("eval-containers/gaia", scenario=["local"])


def test_a_benchmark_with_every_harness_leaves_out_one_that_has_no_such_workload() -> None:
    assert "eval-containers" not in {case.load.harness.name for case in cases("sanity", harness=["all"])}
