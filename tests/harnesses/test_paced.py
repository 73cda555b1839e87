"""Each load program sends a workload at any one rate: the same load, in one stage of the length that was asked for."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import Paced
from pytest_llmdbench.harnesses.registry import Harnesses

WORKLOADS = Path(__file__).parents[2] / "workloads"
OPEN = [
    "inference-perf/chatbot_synthetic",
    "inference-perf/shared_prefix_synthetic",
    "guidellm/chatbot_synthetic",
    "guidellm/sanity_random",
    "vllm-benchmark/chatbot_synthetic",
    "aiperf/sanity_random",
]
CLOSED = [
    "inference-perf/random_concurrent",
    "guidellm/sanity_concurrent",
    "vllm-benchmark/random_concurrent",
    "inferencemax/random_concurrent",
    "aiperf/synthetic",
]


def declared(name: str) -> tuple[Any, dict[str, Any]]:
    program, _, _ = name.partition("/")
    workload = load_workload(WORKLOADS / f"{name}.yaml", program)
    return Harnesses()(program), dict(workload.profile)


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize(("rate", "seconds"), [(3.5, 60), (40, 12.5), (0.25, 400)])
def test_a_workload_is_sent_at_the_rate_for_the_time(name: str, rate: float, seconds: float) -> None:
    harness, profile = declared(name)
    before = deepcopy(profile)
    (stage,) = harness.stages(harness.at_rate(profile, rate, seconds))
    assert stage.rate == rate
    # inference-perf knows whole seconds only.
    assert rate * seconds <= stage.requests + 1 <= rate * (seconds + 1) + 2
    assert stage.duration_s == pytest.approx(seconds, abs=1 + 1 / rate)
    assert profile == before


def test_traffic_classes_keep_their_shares_of_it() -> None:
    harness, profile = declared("priority-mix/priority_mix")
    stages = harness.stages(harness.at_rate(profile, 20, 30))
    assert [stage.requests for stage in stages] == [120, 360, 120]
    assert sum(stage.rate for stage in stages) == pytest.approx(20)


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_loop_has_no_rate_and_says_so(name: str) -> None:
    harness, profile = declared(name)
    with pytest.raises(DeclarationError, match="sends at no rate that could be set"):
        harness.at_rate(profile, 5, 60)


@pytest.mark.parametrize("name", ["lm-eval", "nop"])
def test_a_program_that_sends_no_such_load_has_none(name: str) -> None:
    assert not isinstance(Harnesses()(name), Paced)


def test_prompts_that_are_made_in_advance_suffice_for_it() -> None:
    harness, profile = declared("guidellm/chatbot_synthetic")
    (stage,) = harness.stages(harness.at_rate(profile, 50, 60))
    assert stage.requests == 3000


def test_what_else_a_workload_says_stays_as_it_is() -> None:
    harness, profile = declared("inference-perf/chatbot_synthetic")
    paced = harness.at_rate(profile, 5, 60)
    assert {**paced, "load": None} == {**profile, "load": None}
    harness, profile = declared("aiperf/sanity_random")
    paced = harness.at_rate(profile, 5, 60)
    assert paced["extra-inputs"] == profile["extra-inputs"]
    assert paced["streaming"] is True


def test_the_other_name_of_a_flag_is_replaced_too() -> None:
    harness, profile = declared("aiperf/sanity_random")
    profile["num-requests"] = profile.pop("request-count")
    (stage,) = harness.stages(harness.at_rate(profile, 5, 60))
    assert stage.requests == 300
