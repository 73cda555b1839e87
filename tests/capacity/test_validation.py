"""Will it start: the verdict, the rules on flags with their reasons, and fixes that hold what they promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.kv_cache import layout
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.validation import Fix, validate
from pytest_llmdbench.capacity.weights import rank_layers, weights_bytes
from pytest_llmdbench.errors import DeclarationError


def engine(model: str, gpu: str = "h100", **flags: Any) -> Configuration:
    return Configuration(find_model(model), find_gpu(gpu), **flags)


def mended(config: Configuration, fix: Fix) -> Configuration:
    if fix.also:
        config = mended(config, fix.also)
    name = fix.flag.removeprefix("--").replace("-", "_")
    if name == "accelerator.product":
        return replace(config, gpu=find_gpu(fix.value))
    if name == "quantization":
        return replace(config, model=find_model(config.model.name, fix.value))
    if name == "enforce_eager":
        return replace(config, enforce_eager=True)
    value: Any = fix.value
    for kind in (int, float):
        try:
            value = kind(fix.value)
            break
        except ValueError:
            continue
    return replace(config, **{name: value})


def test_a_model_that_fits_will_start_and_needs_no_fix() -> None:
    found = validate(engine("Qwen/Qwen3-32B", max_model_len=16000, gpu_memory_utilization=0.95))
    assert found.verdict == "will start"
    assert not found.fixes


@pytest.mark.parametrize(
    ("model", "gpu", "flags"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "L4", {}),
        ("meta-llama/Llama-3.1-70B-Instruct", "h100", {}),
        ("Qwen/Qwen3-32B", "h100", {}),
        ("google/gemma-3-27b-it", "A100-40GB", {}),
        ("deepseek-ai/DeepSeek-V3", "h200", {}),
        ("deepseek-ai/DeepSeek-V3", "h100", {"tensor_parallel_size": 8}),
        ("Qwen/Qwen2.5-72B-Instruct", "h100", {"tensor_parallel_size": 2}),
        ("google/gemma-2-9b-it", "RTX-4090", {}),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "h100", {}),
        ("deepseek-ai/DeepSeek-V3", "h100", {}),
    ],
)
def test_every_proposed_flag_makes_the_engine_start(model: str, gpu: str, flags: dict[str, Any]) -> None:
    config = engine(model, gpu, **flags)
    found = validate(config)
    if found.verdict != "will start":
        assert found.fixes
    for fix in found.fixes:
        assert validate(mended(config, fix)).verdict == "will start", str(fix)


def test_a_gpu_with_as_much_memory_is_not_proposed_as_one_with_more() -> None:
    gpus = [fix.value for fix in validate(engine("Qwen/Qwen3-32B", max_model_len=24000)).fixes if "product" in fix.flag]
    assert gpus
    assert not any("A100" in gpu for gpu in gpus)


def test_where_a_node_is_full_the_next_one_takes_half_of_the_layers() -> None:
    found = validate(engine("deepseek-ai/DeepSeek-V3", "h100", tensor_parallel_size=8))
    assert [str(fix) for fix in found.fixes if "parallel" in fix.flag] == ["--pipeline-parallel-size 2"]


def test_tensor_parallelism_over_nodes_is_noted() -> None:
    notes = validate(engine("deepseek-ai/DeepSeek-V3", "h100", tensor_parallel_size=16)).notes
    assert any("over the network" in note for note in notes)


def test_a_length_that_does_not_fit_is_answered_with_the_length_that_does() -> None:
    found = validate(engine("meta-llama/Llama-3.1-8B-Instruct", "L4"))
    assert found.verdict == "will not start"
    assert "one request of 131,072 tokens" in found.why
    assert found.fixes[0].flag == "--max-model-len"


def test_within_three_percent_nobody_can_be_sure() -> None:
    config = engine("meta-llama/Llama-3.1-8B-Instruct", "L4")
    length = int(validate(config).fixes[0].value)
    assert validate(replace(config, max_model_len=length + 512)).verdict == "uncertain"


@pytest.mark.parametrize(
    ("flags", "model", "gpu", "reason", "value"),
    [
        ({"tensor_parallel_size": 8}, "Qwen/Qwen2.5-7B-Instruct", "h100", "28 attention heads", "4"),
        ({"tensor_parallel_size": 8}, "Qwen/Qwen3-30B-A3B-FP8", "h100", "multiple of the 128", "2"),
        ({"pipeline_parallel_size": 40}, "Qwen/Qwen3-8B", "h100", "36 layers", "36"),
        ({"max_model_len": 50_000}, "Qwen/Qwen3-8B", "h100", "40960 positions", "40960"),
        ({"max_num_batched_tokens": 100, "max_num_seqs": 200}, "Qwen/Qwen3-8B", "h100", "200 sequences", "200"),
        ({"block_size": 17}, "Qwen/Qwen3-8B", "h100", "none of", "16"),
        ({}, "Qwen/Qwen3-8B", "T4", "no bfloat16", "half"),
        ({"enable_expert_parallel": True}, "Qwen/Qwen3-8B", "h100", "no experts", "off"),
    ],
)
def test_a_rule_on_flags_names_its_reason_and_the_value_that_holds(
    flags: dict[str, Any], model: str, gpu: str, reason: str, value: str
) -> None:
    found = validate(engine(model, gpu, **flags))
    assert found.verdict == "will not start"
    assert reason in found.why
    assert found.fixes[0].value == value


@pytest.mark.parametrize(
    "flags",
    [
        {"tensor_parallel_size": 0},
        {"tensor_parallel_size": -2},
        {"tensor_parallel_size": 10**9},
        {"max_model_len": -5},
        {"max_model_len": 10**15},
        {"gpu_memory_utilization": 1.5},
        {"gpu_memory_utilization": -0.1},
        {"gpu_memory_utilization": float("nan")},
        {"max_num_seqs": -1},
        {"max_num_seqs": 0},
        {"max_model_len": 0},
        {"block_size": -16},
        {"memory_gib": -1.0},
        {"kv_cache_dtype": "fp7"},
        {"dtype": "bfloat17"},
        {"version": "newest"},
    ],
)
def test_sizes_that_nobody_can_mean_are_refused_in_a_sentence(flags: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        validate(engine("Qwen/Qwen3-8B", **flags))


def test_kv_heads_are_copied_once_there_are_more_ranks() -> None:
    small, large = (memory(engine("Qwen/Qwen3-30B-A3B", tensor_parallel_size=size)).layout for size in (4, 8))
    assert small.block_bytes == large.block_bytes


def test_latent_attention_is_not_split_by_tensor_parallelism() -> None:
    one, eight = (layout(engine("deepseek-ai/DeepSeek-V3", "h200", tensor_parallel_size=size)) for size in (1, 8))
    assert one.block_bytes == eight.block_bytes == 61 * 576 * 2 * 16


def test_layers_with_a_window_keep_the_window_alone() -> None:
    config = engine("google/gemma-3-27b-it", "h200", max_model_len=131072)
    assert memory(config).request < memory(replace(config, hybrid_kv=False)).request / 3


def test_layers_are_padded_to_groups_of_one_size() -> None:
    found = layout(engine("google/gemma-3-27b-it", "h200"))
    assert (found.full, found.windowed) == (1, 6)


def test_pipeline_ranks_have_all_layers_and_the_ends_on_their_ends() -> None:
    config = engine("meta-llama/Llama-3.1-70B-Instruct", pipeline_parallel_size=3)
    assert sum(rank_layers(config, rank)[0] for rank in range(3)) == 80
    whole = weights_bytes(replace(config, pipeline_parallel_size=1), 0)
    assert sum(weights_bytes(config, rank) for rank in range(3)) == pytest.approx(whole, rel=0.001)


def test_expert_parallelism_spreads_experts_over_data_parallel_ranks() -> None:
    flags = {"tensor_parallel_size": 1, "enable_expert_parallel": True}
    one = engine("deepseek-ai/DeepSeek-V3", "h200", data_parallel_size=8, **flags)
    two = replace(one, data_parallel_size=16)
    assert weights_bytes(two, 0) < 0.65 * weights_bytes(one, 0)
    assert validate(two).verdict == "will start"


def test_cuda_graphs_are_set_aside_since_021_and_not_without_them() -> None:
    old, new = (memory(engine("Qwen/Qwen3-8B", version=version)).cuda_graphs for version in ("0.19.0", "0.26.0"))
    assert old == 0 < new
    assert memory(engine("Qwen/Qwen3-8B", enforce_eager=True)).cuda_graphs == 0


def test_an_architecture_that_was_not_checked_is_judged_with_more_doubt() -> None:
    config = engine("Qwen/Qwen3-32B", max_model_len=16000)
    other = replace(config, model=replace(config.model, architecture="OtherForCausalLM"))
    assert (validate(config).verdict, validate(other).verdict) == ("will start", "uncertain")
    assert any("OtherForCausalLM" in note for note in validate(other).notes)
