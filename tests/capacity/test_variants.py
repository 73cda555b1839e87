"""Which engines a recommendation tries on a GPU, and which milder flags it takes where none would start."""

from __future__ import annotations

import pytest

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.explore import explore
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.preflight import check_scenario
from pytest_llmdbench.capacity.scenario_file import scenario_of
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.capacity.variants import that_starts, variants
from tests.capacity.test_explore import as_scenario

LOAD = Load(1000, 500, concurrency=1)


def search(model: str, gpu: str) -> Asked:
    return Asked(find_model(model), LOAD, gpus=[find_gpu(gpu)], rate=5.0, splits=False)


def ways(model: str, gpu: str) -> set[tuple[int, int, int, bool]]:
    found = variants(search(model, gpu), find_gpu(gpu), 1)
    return {
        (
            one.tensor_parallel_size,
            one.pipeline_parallel_size,
            one.data_parallel_size,
            one.enable_expert_parallel,
        )
        for one in found
    }


def test_experts_are_spread_over_a_node_with_the_attention_shared_or_copied() -> None:
    assert ways("Qwen/Qwen3-30B-A3B", "H100") == {
        (1, 1, 1, False), (2, 1, 1, False), (4, 1, 1, False), (8, 1, 1, False),
        (1, 1, 8, True), (2, 1, 4, True), (4, 1, 2, True),
    }  # fmt: skip


def test_experts_whose_width_cannot_be_split_are_spread_whole() -> None:
    # 1536 in 8 parts of 192 is no multiple of the 128 that share a scale.
    tried = ways("Qwen/Qwen3-235B-A22B-FP8", "H100")
    assert (8, 1, 1, False) not in tried
    assert (8, 1, 1, True) in tried


def test_stages_stand_in_where_heads_cannot_be_shared() -> None:
    # 28 heads.
    assert ways("Qwen/Qwen2.5-7B-Instruct", "L4") == {
        (1, 1, 1, False), (2, 1, 1, False), (4, 1, 1, False), (4, 2, 1, False)
    }  # fmt: skip


def test_a_model_whose_layers_are_shared_evenly_has_no_stages_on_a_node() -> None:
    assert {stages for _, stages, _, _ in ways("Qwen/Qwen3-8B", "H100")} == {1}


@pytest.mark.parametrize(("model", "gpu"), [("Qwen/Qwen3-235B-A22B-FP8", "H100"), ("Qwen/Qwen2.5-7B-Instruct", "L4")])
def test_each_of_them_is_a_scenario_that_starts(model: str, gpu: str) -> None:
    want = search(model, gpu)
    for one in explore(want).best:
        (finding,) = check_scenario(as_scenario(scenario_of(one, want)))
        assert finding.validation.verdict == "will start"
        assert finding.validation.memory.kv == pytest.approx(validate(one.config).memory.kv)


def test_what_starts_by_itself_keeps_vllms_own_flags() -> None:
    config = Configuration(find_model("Qwen/Qwen3-8B"), find_gpu("H100"), max_model_len=2048)
    assert that_starts(config) == config


def test_more_of_the_memory_is_taken_only_where_it_would_not_start_otherwise() -> None:
    config = Configuration(find_model("Qwen/Qwen3-32B"), find_gpu("A100-40GB"), 2, max_model_len=2048)
    assert validate(config).verdict != "will start"
    milder = that_starts(config)
    assert milder
    assert (milder.gpu_memory_utilization, milder.max_num_batched_tokens) == (0.95, None)


def test_steps_are_made_smaller_where_memory_alone_is_not_enough() -> None:
    want = search("moonshotai/Kimi-K2-Instruct", "H200")
    (one,) = (one for one in explore(want).best if one.config.tensor_parallel_size == 8)
    assert (one.config.gpu_memory_utilization, one.config.max_num_batched_tokens) == (0.95, 2048)
    assert "memory 95%, 2048 tokens a step" in one.label
    scenario = as_scenario(scenario_of(one, want))
    assert scenario.vllm.max_num_batched_tokens == 2048
    assert check_scenario(scenario)[0].validation.verdict == "will start"


def test_what_breaks_a_rule_is_not_made_to_start_by_milder_flags() -> None:
    assert that_starts(Configuration(find_model("Qwen/Qwen3-8B"), find_gpu("H100"), 3, max_model_len=2048)) is None
