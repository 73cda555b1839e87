"""Whatever stands in a config.json, and whichever flags are given: an answer or one sentence, never another error."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmdbench.capacity.config_json import read_architecture
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import known_gpus
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.speed import speed
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.errors import DeclarationError
from tests.capacity.test_models import LLAMA

MOE = {"num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 512}
MLA = {"kv_lora_rank": 512, "q_lora_rank": 0, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
LINEAR = {
    "linear_num_value_heads": 32, "linear_num_key_heads": 16, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
}  # fmt: skip
MAMBA = {"mamba_d_state": 16, "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_n_heads": 128}
PATTERN = {"hybrid_override_pattern": "M*-E" * 8, "ssm_state_size": 128, "mamba_num_heads": 64}
BLOCK = {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 5.25}}
QUANTIZED = {
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"targets": ["re:.*self_attn.*"], "weights": {"num_bits": 8, "type": "float"}}},
        "ignore": ["lm_head", "re:.*layers\\.0\\..*"],
    }
}
OTHER = (
    "head_dim", "n_shared_experts", "first_k_dense_replace", "interleave_moe_layer_step", "index_head_dim",
    "index_n_heads", "sliding_window", "num_sliding_layers", "sliding_window_pattern", "attention_chunk_size",
    "full_attention_interval", "num_global_key_value_heads", "global_head_dim", "vision_params_b", "vision_config",
    "layer_types", "quantization_config", "text_config", "block_configs", "attn_layer_indices", "mlp_only_layers",
    "moe_layer_freq", "expert_layer_period", "expert_layer_offset", "num_kv_shared_layers", "laurel_rank",
    "hidden_size_per_layer_input", "mamba_dt_rank", "mamba_expand", "mamba_d_head", "audio_config", "model_max_length",
    "multi_query", "attn_config", "n_groups",
)  # fmt: skip
PARTS = (MOE, MLA, LINEAR, MAMBA, PATTERN, QUANTIZED)
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [0, 1, 2, 3, 64, 128, 4096, 99_999_999, 10**30, -1, None, True, 1.5, float("nan"), "x", [], [1], {}]
    ),
    st.sampled_from([["sliding_attention"] * 9, {"quant_method": "fp8", "weight_block_size": [128, 128]}]),
    st.sampled_from([["mamba"] * 9, [BLOCK] * 32, [BLOCK], [0, 1] * 16, {"depth": 3, "embed_dim": 64}, "auto"]),
    st.integers(),
)
CONFIGS = st.builds(
    lambda parts, changes: {key: value for part in (LLAMA, *parts, changes) for key, value in part.items()},
    st.lists(st.sampled_from(PARTS), max_size=3),
    st.dictionaries(st.sampled_from([*LLAMA, *(key for part in PARTS for key in part), *OTHER]), VALUES, max_size=4),
)
FLAGS = st.fixed_dictionaries(
    {
        "tensor_parallel_size": st.sampled_from([0, 1, 2, 3, 8]),
        "pipeline_parallel_size": st.sampled_from([1, 2, 9, 99]),
        "data_parallel_size": st.sampled_from([1, 4]),
        "max_model_len": st.sampled_from([None, 1, 100, 8192]),
        "max_num_seqs": st.sampled_from([None, 1, 5000]),
        "enable_expert_parallel": st.booleans(),
        "version": st.sampled_from(["0.7", "0.19", "0.26"]),
    }
)


@settings(max_examples=400, deadline=None)
@given(CONFIGS, st.sampled_from(known_gpus()), FLAGS)
def test_any_model_on_any_gpu_is_answered_or_refused(data: dict[str, Any], gpu: Any, flags: dict[str, Any]) -> None:
    with contextlib.suppress(DeclarationError):
        config = Configuration(read_architecture(data, "model"), gpu, **flags)
        found = validate(config)
        assert found.verdict in ("will start", "will not start", "uncertain")
        assert speed(config, Load(50, 20, concurrency=3)).tpot > 0
