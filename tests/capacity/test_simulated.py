"""``simulator.like``: a sweep is rehearsed at the speed that a GPU would have."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.roofline import Roofline
from pytest_llmdbench.capacity.simulated import simulator_like
from pytest_llmdbench.declared.scenario import Scenario


def scenario(like: str = "h100", **more: Any) -> Scenario:
    data: dict[str, Any] = {
        "model": {"name": "Qwen/Qwen3-8B"},
        # As the scenario that comes along says them.
        "simulator": {"ttft": 0.05, "itl": 0.025, "like": like},
    }
    return Scenario.model_validate(data | more)


def test_a_steps_time_is_that_of_the_estimate_at_one_and_at_64_sequences() -> None:
    config = Configuration(find_model("Qwen/Qwen3-8B"), find_gpu("h100"))
    found, line = simulator_like(config), Roofline(config)
    for sequences in (1, 64):
        step = found.itl + found.itl_per_sequence * sequences
        assert step == pytest.approx(line.decode_s(sequences, 1024), rel=0.01)


def test_a_scenario_like_a_gpu_has_its_times_and_its_cache() -> None:
    simulator = scenario().simulator
    assert simulator.itl < 0.015
    assert simulator.num_kv_blocks * 16 == pytest.approx(395_000, rel=0.05)
    assert simulator.max_model_len == 40960


def test_a_slower_gpu_is_slower() -> None:
    assert scenario("l40s", vllm={"max_model_len": 8192}).simulator.itl > 2 * scenario().simulator.itl


def test_flags_of_vllm_count() -> None:
    two = scenario(vllm={"tensor_parallel_size": 2, "max_num_seqs": 32}).simulator
    assert two.itl < scenario().simulator.itl
    assert two.max_num_seqs == 32


def test_a_scenario_reads_back_as_the_same_one() -> None:
    made = scenario()
    assert Scenario.model_validate(made.dump()).simulator == made.simulator


@pytest.mark.parametrize(
    ("like", "more", "reason"),
    [
        ("h10", {}, "did you mean 'h100'"),
        ("h100", {"model": {}}, "not known"),
        ("h100", {"model": None}, "model"),
        (
            "h100",
            {"model": {"name": "llmdbench/simulated"}},
            "'llmdbench/simulated' is not known.*Hugging Face cache( |$|\\n)",
        ),
        ("L4", {"model": {"name": "Qwen/Qwen3-32B"}}, "does not start"),
        ("h100", {"vllm": {"tensor_parallel_size": "many"}}, "tensor_parallel_size"),
        ("h100", {"vllm": {"max_model_len": -3}}, "max_model_len"),
        ("h100", {"vllm": 5}, "vllm"),
        ("h100", {"model": {"name": 7}}, "model.name"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(like: str, more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        scenario(like, **more)
