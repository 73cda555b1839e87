"""A mistake in a workload, an override or an objective is named where it was made, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdbench.case import Case
from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.declared.overrides import Overrides
from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.plan import Plan
from pytest_llmdbench.planned_load import plan_load
from pytest_llmdbench.planned_slo import unprovable
from tests.plan.test_plan import AskedFor

LOAD = """\
llmdbench:
  quick:
    duration: 12
api: {type: completion}
load:
  type: constant
  stages:
    - {rate: 1, duration: 60}
"""


def refusal(path: Path, harness: str, *asked: Overrides) -> str:
    """Why a workload cannot be sent at its quick size with what was asked for."""
    with pytest.raises(DeclarationError) as caught:
        plan_load(load_workload(path, harness), Harnesses()(harness), None, asked, quick=True)
    return str(caught.value)


def case_of(workload: str, **asked: list[str]) -> tuple[Plan, Case]:
    plan = Plan(Places([shipped_root()]), AskedFor({"scenario": ["local"], **asked}), Harnesses(), ("local",))
    (case,) = plan.cases([workload])
    assert isinstance(case, Case)
    return plan, case


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("stages:", "stage:", "w.yaml:7: inference-perf has no key 'load.stage'; did you mean 'stages'"),
        ("duration: 12", "durtion: 12", "w.yaml:3: 'durtion' matches nothing in inference-perf/w; did you mean 'dur"),
        ("rate: 1", "rate: abc", "w.yaml:8: 'load.stages.0.rate' must be a number above 0 (given: 'abc')"),
        ("duration: 12", "duration: -2", "w.yaml:3: 'load.stages.0.duration' must be a number above 0"),
        ("completion", "REPLACE_ENV_LLMDBENCH_HARNESS_PVC_NAME", "w.yaml:4: 'api.type': REPLACE_ENV_LLMDBENCH_HARN"),
    ],
)
def test_a_mistake_in_a_workload_is_named_with_file_and_line_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.yaml").write_text(LOAD.replace(right, wrong, 1))
    said = refusal(Path("w.yaml"), "inference-perf")
    assert said.startswith(told)
    assert said.count("w.yaml") == 1


def test_an_option_that_a_load_cannot_take_is_named_with_the_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("w.yaml").write_text(LOAD)
    said = refusal(Path("w.yaml"), "inference-perf", ({"rate": "abc"}, "--llmd-overrides"))
    assert said.startswith("w.yaml, --llmd-overrides: 'load.stages.0.rate' must be a number above 0")


def test_an_override_that_one_of_all_harnesses_does_not_know_names_program_and_workload() -> None:
    path = shipped_root() / "workloads/guidellm/sanity_random.yaml"
    said = refusal(path, "guidellm", ({"duration": 5}, "--llmd-overrides"))
    assert said.startswith("--llmd-overrides: 'duration' matches nothing in guidellm/sanity_random; there is ")


def test_energy_that_nobody_reads_is_refused_before_the_load() -> None:
    plan, case = case_of("sanity_random", slo=["energy_per_1m_output_tokens <= 3kWh"])
    with pytest.raises(DeclarationError, match=r"^--llmd-slo: objective 'energy_.*this stack is on this machine"):
        plan.objectives(case, ())


def test_a_ttft_of_answers_that_are_not_streamed_is_refused_before_the_load(tmp_path: Path) -> None:
    (tmp_path / "whole.yaml").write_text(LOAD)
    _, case = case_of(str(tmp_path / "whole.yaml"))
    told = unprovable(case, [parse_objective("ttft.mean <= 2s", "here")])
    assert told is not None
    assert told.endswith("its answers are not streamed; say 'api.streaming: true' in the workload")
