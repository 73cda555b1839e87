"""Folders of public models: each config.json is counted to what its maker publishes, or refused for what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.kv_cache import layout
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.parameters import parameters
from pytest_llmdbench.capacity.placement import broken_rules
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.capacity.weights import weights_bytes
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.errors import DeclarationError

PUBLISHED: dict[str, dict[str, Any]] = load_yaml(
    Path(__file__).parents[1] / "data" / "capacity" / "model_folders.yaml"
).data
#: Models that write no text with a KV cache, and what the refusal tells.
REFUSED = {
    "bert-base": "is an encoder",
    "bge-large": "is an encoder",
    "bge-m3": "is an encoder",
    "whisper-large-v3": "an encoder beside the decoder",
    "mamba-2.8b": "a state space in each layer",
}
COUNTED = [name for name in PUBLISHED if name not in REFUSED]


def folder(path: Path, name: str, **changes: Any) -> str:
    config = {key: value for key, value in PUBLISHED[name].items() if key != "parameters"}
    (path / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    return str(path)


def found(path: Path, name: str, **changes: Any) -> Model:
    return find_model(folder(path, name, **changes))


@pytest.mark.parametrize("name", COUNTED)
def test_a_folders_parameters_are_within_one_percent_of_what_its_maker_publishes(name: str, tmp_path: Path) -> None:
    model = found(tmp_path, name)
    assert parameters(model).total(model) == pytest.approx(PUBLISHED[name]["parameters"], rel=0.01)


@pytest.mark.parametrize("name", COUNTED)
def test_a_folders_engine_is_answered_on_one_gpu_and_on_several(name: str, tmp_path: Path) -> None:
    model, gpu = found(tmp_path, name), find_gpu("H200")
    one = validate(Configuration(model, gpu)).memory
    two = validate(Configuration(model, gpu, pipeline_parallel_size=2)).memory
    assert 0 < two.weights < one.weights
    assert one.request > 0


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_what_writes_no_text_with_a_kv_cache_is_refused_for_what_it_is(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=reason):
        found(tmp_path, name)


@pytest.mark.parametrize(
    ("name", "attention", "states", "experts", "dense"),
    [
        ("granite-4.0-h-small", 4, 36, 40, 0),
        ("granite-4.0-h-micro", 4, 36, 0, 40),
        ("nemotron-nano-9b-v2", 4, 27, 0, 25),
        ("nemotron-3-nano-30b-a3b", 6, 23, 23, 0),
        ("jamba-v0.1", 4, 28, 16, 16),
        ("qwen3-next-80b-a3b", 12, 36, 48, 0),
        ("ernie-4.5-21b-a3b", 28, 0, 27, 1),
    ],
)
def test_layers_are_told_apart(
    name: str, attention: int, states: int, experts: int, dense: int, tmp_path: Path
) -> None:
    model = found(tmp_path, name)
    kinds = (
        model.attention_layers,
        model.linear.layers if model.linear else 0,
        model.expert_layers,
        model.dense_layers,
    )
    assert kinds == (attention, states, experts, dense)


def test_only_layers_with_attention_have_a_kv_cache(tmp_path: Path) -> None:
    model = found(tmp_path, "granite-4.0-h-small")
    room = layout(Configuration(model, find_gpu("H100")))
    # Four layers of 8 heads of 128, keys and values, 2 bytes each.
    assert room.block_bytes / room.full_tokens == 4 * 2 * 8 * 128 * 2
    assert (room.full, room.states) == (1, 9)
    # A state of 128 heads, 64 x 128 each, and three columns of the convolution, in whole blocks of 16 tokens.
    assert room.full_tokens == -(-((128 * 64 * 128 + 3 * (8192 + 2 * 128)) * 2) // (2 * 8 * 128 * 2) // 16) * 16


def test_a_state_of_four_bytes_takes_twice_the_place(tmp_path: Path) -> None:
    gpu = find_gpu("H100")
    narrow = layout(Configuration(found(tmp_path, "nemotron-3-nano-30b-a3b"), gpu))
    wide = found(tmp_path, "nemotron-3-nano-30b-a3b", mamba_ssm_cache_dtype="float32")
    assert layout(Configuration(wide, gpu)).full_tokens == pytest.approx(2 * narrow.full_tokens, rel=0.03)


def test_layers_may_be_named_in_place_of_a_pattern_and_a_number(tmp_path: Path) -> None:
    pattern = PUBLISHED["nemotron-3-nano-30b-a3b"]["hybrid_override_pattern"]
    words = {"M": "mamba", "E": "moe", "*": "attention", "-": "mlp"}
    named = {"layers_block_type": [words[letter] for letter in pattern], "num_hidden_layers": None}
    told = found(tmp_path, "nemotron-3-nano-30b-a3b")
    assert found(tmp_path, "nemotron-3-nano-30b-a3b", hybrid_override_pattern=None, **named) == told


def test_latent_attention_with_an_indexer_sees_everything(tmp_path: Path) -> None:
    kinds = ["deepseek_sparse_attention"] * 61
    assert found(tmp_path, "deepseek-v3", layer_types=kinds).attention_layers == 61


def test_experts_beside_a_dense_part_leave_it_to_every_token(tmp_path: Path) -> None:
    changes = {"architectures": ["Gemma4ForConditionalGeneration"], "moe_intermediate_size": 512, "num_experts": 8}
    model = found(tmp_path, "gemma-3-1b", num_experts_per_tok=2, **changes)
    assert model.experts
    assert (model.experts.shared, model.experts.width, model.dense_layers) == (6912, 512, 0)


def test_experts_of_a_latent_width_are_as_small_as_that(tmp_path: Path) -> None:
    wide, narrow = (
        found(tmp_path, "nemotron-3-nano-30b-a3b", **({"moe_latent_size": 672} if latent else {}))
        for latent in (False, True)
    )
    less = 23 * (128 * 2 * 1856 * (2688 - 672) - 2 * 2688 * 672)
    assert parameters(wide).total(wide) - parameters(narrow).total(narrow) == pytest.approx(less)


@pytest.mark.parametrize(
    ("name", "flags", "tokens"),
    [
        # "Setting attention block size to ... tokens" in logs of vLLM 0.18 to 0.20 on one GPU.
        ("Qwen/Qwen3.5-35B-A3B", {}, 1056),
        ("Qwen/Qwen3.5-35B-A3B", {"kv_cache_dtype": "fp8"}, 2096),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", {}, 544),
    ],
)
def test_a_block_holds_as_much_as_a_state(name: str, flags: dict[str, Any], tokens: int) -> None:
    assert layout(Configuration(find_model(name), find_gpu("H200"), **flags)).full_tokens == tokens


def test_states_that_are_kept_for_prompts_that_come_again_take_a_second_block() -> None:
    """RedHatAI/Qwen3.6-35B-A3B-NVFP4, which has these dimensions, on vLLM 0.20 with 2.95 GiB of KV cache."""
    model, gpu = find_model("Qwen/Qwen3.5-35B-A3B"), find_gpu("H200")
    config = Configuration(model, gpu, max_model_len=65536, kv_cache_dtype="fp8", enable_prefix_caching=True)
    room = layout(config)
    blocks = int(2.95 * 2**30 / room.block_bytes)
    assert blocks // room.groups * room.full_tokens == 75456
    assert blocks / room.blocks(config.length, config.tokens) == pytest.approx(3.87, abs=0.005)


@pytest.mark.parametrize(
    ("name", "loaded"),
    [
        ("nemotron-nano-9b-v2", 16.5557),  # vllm-project/vllm#23230, vLLM 0.10.1
        ("nemotron-3-8b", 15.9077),  # vllm-project/vllm#6611, vLLM 0.5.2
    ],
)
def test_weights_of_models_that_no_rule_was_made_for_are_those_of_their_logs(
    name: str, loaded: float, tmp_path: Path
) -> None:
    config = Configuration(found(tmp_path, name), find_gpu("L40S"), version="0.10.1")
    assert weights_bytes(config, 0) / 2**30 == pytest.approx(loaded, rel=0.001)


@pytest.mark.parametrize(("name", "most"), [("nemotron-3-nano-30b-a3b", 8), ("granite-4.0-h-tiny", 4)])
def test_layers_with_a_state_are_shared_by_whole_heads_and_groups(name: str, most: int, tmp_path: Path) -> None:
    model, gpu = found(tmp_path, name), find_gpu("H200")
    assert not broken_rules(Configuration(model, gpu, tensor_parallel_size=most))
    assert broken_rules(Configuration(model, gpu, tensor_parallel_size=2 * most))


def test_a_copy_of_others_has_layers_with_a_state_as_they_were() -> None:
    copy = find_model("RedHatAI/Qwen3.6-35B-A3B-NVFP4")
    # 21.86 GiB in the log of vLLM 0.20.
    loaded = weights_bytes(Configuration(copy, find_gpu("RTX-PRO-6000-96GB"), version="0.20.0"), 0) / 2**30
    assert loaded == pytest.approx(21.86, rel=0.03)


def test_layers_that_borrow_a_kv_cache_have_none_of_their_own(tmp_path: Path) -> None:
    room = layout(Configuration(found(tmp_path, "gemma-3n-e4b"), find_gpu("H100")))
    assert room.block_bytes * (room.full + room.windowed) == 20 * 16 * 2 * 2 * 256 * 2


def test_layers_that_a_search_left_out_are_not_counted(tmp_path: Path) -> None:
    whole = {"attention": {"n_heads_in_group": 4, "no_op": False}, "ffn": {"ffn_mult": 5.25, "no_op": False}}
    less = {"attention": {"n_heads_in_group": None, "no_op": True}, "ffn": {"ffn_mult": 2.625}}
    model = found(tmp_path, "llama-3.1-8b", block_configs=[whole, less] * 16, intermediate_size=None)
    assert (model.attention_layers, model.dense_layers, model.kv_heads) == (16, 32, 8)
    assert model.width == (14336 + 7168) / 2
    room = layout(Configuration(model, find_gpu("H100")))
    assert room.block_bytes == 16 * 16 * 2 * 8 * 128 * 2


def test_the_head_is_the_embedding_where_the_architecture_says_so(tmp_path: Path) -> None:
    assert found(tmp_path, "command-r").tied
    assert not found(tmp_path, "command-r", tie_word_embeddings=False).tied
    assert not found(tmp_path, "llama-3.1-8b").tied


def test_the_longest_request_is_the_one_that_vllm_takes(tmp_path: Path) -> None:
    assert found(tmp_path, "command-r").max_positions == 131072
    assert found(tmp_path, "phi-3-mini-128k").max_positions == 131072
    assert found(tmp_path, "bloom-560m").max_positions == 2048


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"layer_types": ["full_attention", "conv"]}, "'layer_types' has 'conv'"),
        ({"layer_types": ["full_attention", 3]}, "'layer_types' has 3"),
        ({"hybrid_override_pattern": "M*"}, "has 2 halves for 32 layers"),
        ({"hybrid_override_pattern": "M*-X" * 8}, "they are M or mamba"),
        ({"layers_block_type": ["mamba", "hybrid"] * 16}, "'layers_block_type' has 32 halves"),
        ({"compress_ratios": [0, 4]}, "a compressed KV cache"),
        ({"block_configs": [{}]}, "for each of the 32 layers"),
        ({"block_configs": [{"attention": 1}] * 32}, "'attention' must be keys and values"),
        ({"block_configs": [{"ffn": {"replace_with_linear": True}}] * 32}, "replace_with_linear"),
        ({"linear_attn_config": {"kda_layers": [1]}}, "delta attention"),
        ({"attn_type_list": [0, 1] * 16}, "lightning attention"),
        ({"mamba_d_state": 16}, "which layers"),
        ({"layer_types": ["mamba"] * 32, "mamba_d_state": 16}, "no layer has attention"),
        ({"intermediate_size": [1, "wide"]}, "one a layer"),
        ({"intermediate_size": []}, "one a layer"),
    ],
)
def test_layers_of_another_kind_are_refused_in_a_sentence(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=reason) as caught:
        found(tmp_path, "llama-3.1-8b", **changes)
    assert len(str(caught.value)) < 400
