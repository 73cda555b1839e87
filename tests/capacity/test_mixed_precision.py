"""Checkpoints whose layers are quantized in several ways: what their config.json tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.quantization import Quantization
from pytest_llmdbench.capacity.weights import weights_bytes
from pytest_llmdbench.errors import DeclarationError
from tests.capacity.test_model_folders import folder, found
from tests.capacity.test_models import config_json

GIB = 2**30
#: Parameters of a layer of Llama-3.1-8B, whose folder has 32 of them.
ATTENTION = 2 * 4096 * 4096 + 2 * 4096 * 1024
FORWARD = 3 * 4096 * 14336
FP8 = {"quant_algo": "FP8"}
NVFP4 = {"quant_algo": "NVFP4", "group_size": 16}
EIGHT = {"weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}
FOUR = {"weights": {"num_bits": 4, "type": "float", "group_size": 16}}


def each_layer(start: int = 0, before: str = "model.") -> dict[str, Any]:
    """What Model Optimizer writes of attention in FP8 and the rest in NVFP4."""
    told: dict[str, Any] = {}
    for layer in range(start, 32):
        told |= {f"{before}layers.{layer}.self_attn.{one}_proj": FP8 for one in "qkvo"}
        told |= {f"{before}layers.{layer}.mlp.{one}_proj": NVFP4 for one in ("gate", "up", "down")}
    return told


def mixed(layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers, **more}


def groups(*found: dict[str, Any], ignore: list[str] | None = None) -> dict[str, Any]:
    told = {f"group_{number}": one for number, one in enumerate(found)}
    return {"quant_method": "compressed-tensors", "config_groups": told, "ignore": ignore or ["lm_head"]}


def bits(path: Path, config: dict[str, Any], name: str = "llama-3.1-8b") -> Quantization:
    return found(path, name, quantization_config=config).quantization


def test_layers_that_are_told_one_by_one_are_counted_one_by_one(tmp_path: Path) -> None:
    how = bits(tmp_path, mixed(each_layer(), kv_cache_scheme={"num_bits": 8, "type": "float", "dynamic": False}))
    assert (how.name, how.mixer_bits, how.linear_bits, how.head_bits) == ("mixed", 8, 4.5, None)


def test_layers_that_are_not_among_them_are_as_they_were(tmp_path: Path) -> None:
    how = bits(tmp_path, mixed(each_layer(start=8)))
    assert how.mixer_bits == (24 * 8 + 8 * 16) / 32
    assert how.linear_bits == (24 * 4.5 + 8 * 16) / 32


def test_the_weights_of_a_gpu_are_the_sum_of_what_is_told(tmp_path: Path) -> None:
    model = found(tmp_path, "llama-3.1-8b", quantization_config=mixed(each_layer()))
    ends = 2 * 2 * 128256 * 4096 + 131072 * 128 * 2
    layers = 32 * (ATTENTION * 1 + FORWARD * 4.5 / 8)
    assert weights_bytes(Configuration(model, find_gpu("B200")), 0) == pytest.approx(ends + layers, rel=0.002)


@pytest.mark.parametrize("before", ["model.language_model.", "language_model.model.", "backbone."])
def test_names_are_told_by_what_follows_the_word_layers(before: str, tmp_path: Path) -> None:
    assert bits(tmp_path, mixed(each_layer(before=before))).mixer_bits == 8


def test_the_same_beside_the_config_json_counts(tmp_path: Path) -> None:
    beside = {"producer": {"name": "modelopt"}, "quantization": mixed(each_layer(), kv_cache_quant_algo="FP8")}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside), encoding="utf-8")
    model = found(tmp_path, "llama-3.1-8b")
    assert (model.quantization.mixer_bits, model.quantization.linear_bits) == (8, 4.5)
    assert model.fp8_cache


def test_a_config_json_that_names_the_method_alone_is_completed_by_the_file_beside_it(tmp_path: Path) -> None:
    beside = {"quantization": mixed(each_layer())}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside), encoding="utf-8")
    told = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}
    assert bits(tmp_path, told).linear_bits == 4.5


def test_groups_may_name_their_algorithm(tmp_path: Path) -> None:
    told = mixed(
        {},
        config_groups={
            "group_0": {"weights": {"quant_algo": "W4A16_NVFP4"}, "targets": ["re:.*mlp.*"]},
            "group_1": {"quant_algo": "FP8", "targets": ["re:.*self_attn.*"]},
        },
    )
    how = bits(tmp_path, told)
    assert (how.mixer_bits, how.linear_bits) == (8, 4.5)


def test_a_layer_may_be_told_not_to_be_quantized(tmp_path: Path) -> None:
    plain = {
        f"model.layers.{layer}.self_attn.{one}_proj": {"quant_algo": "UNQUANTIZED"}
        for layer in range(32)
        for one in "qkvo"
    }
    assert bits(tmp_path, mixed(each_layer() | plain)).mixer_bits is None


def test_a_head_that_is_named_is_quantized(tmp_path: Path) -> None:
    assert bits(tmp_path, mixed(each_layer() | {"lm_head": FP8})).head_bits == 8


def test_experts_are_told_one_by_one_or_together(tmp_path: Path) -> None:
    told = {f"model.layers.{layer}.self_attn.{one}_proj": FP8 for layer in range(48) for one in "qkvo"}
    one = {
        f"model.layers.{layer}.mlp.experts.{expert}.{part}_proj": NVFP4
        for layer in range(48)
        for expert in range(128)
        for part in ("gate", "up", "down")
    }
    all_of_them = {f"model.layers.{layer}.mlp.experts": NVFP4 for layer in range(48)}
    for experts in (one, all_of_them):
        how = bits(tmp_path, mixed(told | experts), "qwen3-30b-a3b")
        assert (how.mixer_bits, how.expert_bits) == (8, 4.5)


def test_groups_have_their_own_bits(tmp_path: Path) -> None:
    told = groups({"targets": ["re:.*self_attn.*"], **EIGHT}, {"targets": ["re:.*mlp.*"], **FOUR})
    how = bits(tmp_path, told)
    assert (how.mixer_bits, how.linear_bits) == (8, 4.5)


def test_a_name_is_nearer_than_a_class(tmp_path: Path) -> None:
    told = groups({"targets": ["Linear"], **FOUR}, {"targets": ["re:.*down_proj"], **EIGHT})
    how = bits(tmp_path, told)
    assert how.mixer_bits == 4.5
    assert how.linear_bits == pytest.approx((2 * 4.5 + 8) / 3)


@pytest.mark.parametrize(
    "ignore",
    [
        ["lm_head", "re:.*layers\\.[01]\\..*"],
        ["lm_head", "model.layers.0", "model.layers.1"],
        ["lm_head", *(f"model.layers.{number}.{part}" for number in (0, 1) for part in ("self_attn", "mlp"))],
    ],
)
def test_layers_that_are_left_out_keep_their_bits(ignore: list[str], tmp_path: Path) -> None:
    how = bits(tmp_path, groups({"targets": ["Linear"], **EIGHT}, ignore=ignore))
    assert how.linear_bits == how.mixer_bits == (30 * 8 + 2 * 16) / 32


def test_wildcards_leave_out_what_they_match(tmp_path: Path) -> None:
    told = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", "model.layers.*.self_attn*"]}
    how = bits(tmp_path, told)
    assert (how.mixer_bits, how.linear_bits) == (None, 4.5)


def test_layers_that_guess_ahead_or_see_are_not_those_of_the_text(tmp_path: Path) -> None:
    ignore = ["lm_head", "mtp.layers.0*", "model.visual.layers.1.mlp", "vision_tower.layers.2.mlp"]
    how = bits(tmp_path, {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ignore})
    assert (how.mixer_bits, how.linear_bits) == (4.5, 4.5)


def test_experts_beside_a_dense_part_are_not_left_out_with_it(tmp_path: Path) -> None:
    told = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", "model.layers.*.mlp*"]}
    gemma = {"architectures": ["Gemma4ForConditionalGeneration"], "moe_intermediate_size": 512, "num_experts": 8}
    how = found(tmp_path, "gemma-3-1b", quantization_config=told, num_experts_per_tok=2, **gemma).quantization
    assert (how.linear_bits, how.expert_bits) == (None, 4.5)


def test_an_up_projection_that_is_left_out_is_not_held_a_second_time(tmp_path: Path) -> None:
    told = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", "*kv_b_proj"]}
    gpu, up = find_gpu("B200"), 27 * 512 * 16 * 256
    plain = found(tmp_path, "deepseek-v2-lite", quantization_config=told)
    whole = found(tmp_path, "deepseek-v2-lite", quantization_config=told | {"ignore": ["lm_head"]})
    less, more = (weights_bytes(Configuration(one, gpu), 0) for one in (plain, whole))
    # In 16 bits it is one of 16 bits; in 4.5 it is one of them, and one of 16 bits for decoding.
    assert more - less == pytest.approx(up * 4.5 / 8, rel=0.1)


def test_routers_are_no_matrices_of_a_layer(tmp_path: Path) -> None:
    ignore = ["lm_head", *(f"model.layers.{number}.mlp.gate" for number in range(48))]
    how = bits(tmp_path, groups({"targets": ["Linear"], **EIGHT}, ignore=ignore), "qwen3-30b-a3b")
    assert (how.mixer_bits, how.linear_bits, how.expert_bits) == (8, 8, 8)


def test_latent_attention_that_is_left_out_is_not_held_a_second_time(tmp_path: Path) -> None:
    told = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", "*self_attn*"]}
    plain = found(tmp_path, "deepseek-v2-lite", quantization_config=told)
    all_of_it = found(tmp_path, "deepseek-v2-lite", quantization_config=told | {"ignore": ["lm_head"]})
    gpu = find_gpu("B200")
    less, more = (weights_bytes(Configuration(one, gpu), 0) for one in (all_of_it, plain))
    attention = 27 * (2048 * 16 * 192 + 2048 * 576 + 512 * 16 * 256 + 16 * 128 * 2048)
    again = 27 * 512 * 16 * 256 * 2
    assert more - less == pytest.approx(attention * (2 - 4.5 / 8) - again, rel=0.05)


@pytest.mark.parametrize(
    ("config", "linear"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, 4.5),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8.004),
        ({"quant_method": "gptq", "bits": 3, "group_size": 128}, 3.125),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": None}, 4.25),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 128}, 4.125),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*mlp.*": {}}}, None),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"+:.*mlp.*": {"bits": 8}}}, 8.125),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4.5),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, 8),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}, "exclude": []}, 8),
        ({"quant_method": "modelopt", "quant_algo": "W4A16_NVFP4"}, 4.5),
        ({"quant_method": "modelopt", "quant_algo": "MXFP8"}, 8.25),
        (groups({"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float", "group_size": 32}}), 4.25),
    ],
)
def test_each_format_has_its_bits(config: dict[str, Any], linear: float | None, tmp_path: Path) -> None:
    assert bits(tmp_path, config).linear_bits == (linear if linear is None else pytest.approx(linear, abs=0.001))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (mixed({}), "neither 'quantized_layers' nor 'config_groups'"),
        (mixed({"model.layers.0.self_attn.q_proj": {"quant_algo": "INT5"}}), "the algorithm 'INT5' is not known"),
        (mixed({"model.layers.0.conv": FP8}), "names no layer that it has"),
        (groups({"targets": "all", **FOUR}), "no list of 'targets'"),
        (groups({"targets": ["Linear"]}), "without 'num_bits'"),
        (groups({"targets": ["re:(a+)+$"], **FOUR}), "too complex"),
        (groups({"targets": ["re:(["], **FOUR}), "is none"),
        (groups({"targets": [8], **FOUR}), "is no name"),
        (groups({"targets": ["Linear"], **FOUR}, ignore=[f"re:{number}" for number in range(300)]), "more than 200"),
        ({"quant_method": "hqq"}, "the method 'hqq' is not known"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "odd"}}}, "Quark's type"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_would_tell_it(
    config: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(DeclarationError, match=reason) as caught:
        found(tmp_path, "llama-3.1-8b", quantization_config=config)
    assert "*.safetensors" in str(caught.value)


def test_a_config_json_with_a_word_on_each_expert_is_read(tmp_path: Path) -> None:
    told = {f"model.layers.{layer}.mlp.experts.{one}.gate_up_proj": NVFP4 for layer in range(48) for one in range(1024)}
    name = folder(tmp_path, "qwen3-30b-a3b", quantization_config=mixed(told))
    assert (tmp_path / "config.json").stat().st_size > 4 * 2**20
    assert find_model(name).quantization.expert_bits == pytest.approx((2 * 4.5 + 16) / 3)


def test_a_plain_checkpoint_has_no_quantization(tmp_path: Path) -> None:
    assert find_model(config_json(tmp_path, quantization_config={"quant_method": "none"})).quantization.name == "none"
