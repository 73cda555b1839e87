"""Models by name, from a folder, a file or the cache; and names and files that are no good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.gpus import find_gpu, known_gpus
from pytest_llmdbench.capacity.models import find_model, known_models
from pytest_llmdbench.capacity.parameters import parameters
from pytest_llmdbench.errors import DeclarationError

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
}


def config_json(folder: Path, **changes: Any) -> str:
    (folder / "config.json").write_text(json.dumps(LLAMA | changes), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("name", known_models())
def test_a_models_parameters_are_those_its_maker_publishes(name: str) -> None:
    model = find_model(name)
    assert parameters(model).total(model) / 1e9 == pytest.approx(model.published_b, rel=0.03)
    assert model.source


def test_there_are_the_usual_models() -> None:
    assert len(known_models()) >= 55


def test_a_name_is_found_in_capital_and_small_letters() -> None:
    assert find_model("qwen/qwen3-32b").hidden == find_model("Qwen/Qwen3-32B").hidden


@pytest.mark.parametrize(
    ("name", "base", "quantization"),
    [
        ("RedHatAI/Llama-3.3-70B-Instruct-fp8-dynamic", "meta-llama/Llama-3.3-70B-Instruct", "fp8"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8", "meta-llama/Llama-3.1-8B-Instruct", "w8a8"),
        ("Qwen/Qwen3-14B-AWQ", "Qwen/Qwen3-14B", "awq"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen/Qwen2.5-7B-Instruct", "gptq"),
    ],
)
def test_a_quantized_copy_has_the_dimensions_of_its_base(name: str, base: str, quantization: str) -> None:
    copy = find_model(name)
    assert (copy.layers, copy.hidden, copy.quantization.name) == (*dimensions(base), quantization)


def dimensions(name: str) -> tuple[int, int]:
    model = find_model(name)
    return model.layers, model.hidden


def test_a_folder_with_a_config_json_is_a_model(tmp_path: Path) -> None:
    model = find_model(config_json(tmp_path))
    assert parameters(model).total(model) == pytest.approx(8.03e9, rel=0.001)
    assert model.attention == "GQA"


def test_the_cache_of_the_hub_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--acme--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    config_json(snapshot, num_hidden_layers=2)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert find_model("acme/tiny").layers == 2


def test_quantization_is_read_from_a_config_json(tmp_path: Path) -> None:
    fp8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    assert find_model(config_json(tmp_path, quantization_config=fp8)).quantization.block == 128
    groups = {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}
    packed = {"quant_method": "compressed-tensors", "config_groups": groups}
    assert find_model(config_json(tmp_path, quantization_config=packed)).quantization.linear_bits == 4.125


def test_quantization_is_read_from_beside_a_config_json(tmp_path: Path) -> None:
    folder = config_json(tmp_path)
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}', encoding="utf-8")
    assert find_model(folder).quantization.name == "nvfp4"


def test_attention_that_is_left_out_keeps_its_bits_in_a_model_of_experts(tmp_path: Path) -> None:
    packed = {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 32}}},
        "ignore": ["lm_head", "re:.*self_attn.*"],
    }
    experts = {"num_local_experts": 8, "num_experts_per_tok": 2}
    found = find_model(config_json(tmp_path, quantization_config=packed, **experts)).quantization
    assert (found.linear_bits, found.expert_bits) == (None, 4.5)


def test_windows_are_counted_from_the_kinds_of_layers(tmp_path: Path) -> None:
    kinds = ["sliding_attention"] * 24 + ["full_attention"] * 8
    assert find_model(config_json(tmp_path, sliding_window=1024, layer_types=kinds)).window_layers == 24


def test_windows_that_a_config_json_is_silent_about_are_the_architectures_own(tmp_path: Path) -> None:
    gemma = config_json(tmp_path, architectures=["Gemma2ForCausalLM"], sliding_window=4096)
    assert find_model(gemma).window_layers == 16
    qwen = config_json(tmp_path, architectures=["Qwen2ForCausalLM"], sliding_window=131072, use_sliding_window=False)
    assert find_model(qwen).window_layers == 0


def test_positions_are_stretched_as_the_config_json_says(tmp_path: Path) -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    model = find_model(config_json(tmp_path, max_position_embeddings=32768, rope_scaling=yarn))
    assert model.max_positions == 131072
    assert model.rotary == 131072 * model.head_dim
    longer = find_model(
        config_json(tmp_path, max_position_embeddings=4096, rope_scaling={"type": "linear", "factor": 2})
    )
    assert longer.max_positions == 8192
    llama = {"rope_type": "llama3", "factor": 8.0}
    assert find_model(config_json(tmp_path, max_position_embeddings=131072, rope_scaling=llama)).max_positions == 131072


def test_gemma_3_has_a_stretched_table_and_one_for_its_windows(tmp_path: Path) -> None:
    scaling = {"rope_type": "linear", "factor": 8.0}
    shape = {"architectures": ["Gemma3ForConditionalGeneration"], "max_position_embeddings": 4096}
    for written in (
        {"rope_scaling": scaling},
        {"rope_parameters": {"full_attention": scaling, "sliding_attention": {"rope_type": "default"}}},
    ):
        model = find_model(config_json(tmp_path, **shape, **written))
        assert model.max_positions == 4096
        assert model.rotary == 9 * 4096 * model.head_dim


def test_the_dimensions_of_a_model_with_pictures_are_those_of_its_text(tmp_path: Path) -> None:
    vision = {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096}
    (tmp_path / "config.json").write_text(
        json.dumps({"architectures": ["LlavaForConditionalGeneration"], "text_config": LLAMA, "vision_config": vision}),
        encoding="utf-8",
    )
    model = find_model(str(tmp_path))
    assert model.layers == 32
    assert model.vision
    assert model.vision.parameters == pytest.approx(0.306e9, rel=0.01)


@pytest.mark.parametrize("key", ["mamba_d_state", "hybrid_override_pattern", "block_configs", "is_encoder_decoder"])
def test_layers_of_another_kind_are_refused_and_not_guessed(tmp_path: Path, key: str) -> None:
    with pytest.raises(DeclarationError, match=key):
        find_model(config_json(tmp_path, **{key: True}))


def test_an_unknown_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'Qwen/Qwen3-32B'"):
        find_model("Qwen/Qwen3-33B")


@pytest.mark.parametrize("made", ["", "config.json"])
def test_a_folder_without_a_config_json_is_told_so(tmp_path: Path, made: str) -> None:
    (tmp_path / made).mkdir(exist_ok=True)
    with pytest.raises(DeclarationError, match=r"is a folder, and there is no config\.json in it$"):
        find_model(str(tmp_path), hub=False)


def test_a_folder_of_a_known_models_name_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Qwen" / "Qwen3-8B").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_model("Qwen/Qwen3-8B").layers == 36


def test_the_hub_is_named_only_where_it_can_be_asked() -> None:
    with pytest.raises(DeclarationError, match=r"^model: .*--hub asks the hub"):
        find_model("Qwen/Qwen3-33B", hub=False)
    with pytest.raises(DeclarationError, match=r"^model\.name: ") as caught:
        find_model("Qwen/Qwen3-33B", key="model.name")
    assert "--hub" not in str(caught.value)


def test_an_unknown_gpu_is_refused_with_the_nearest() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'l40'"):
        find_gpu("l40t")


def test_a_gpu_goes_by_the_names_of_node_labels() -> None:
    assert find_gpu("NVIDIA-H100-80GB-HBM3").name == find_gpu("h100").name == "H100-SXM-80GB"
    assert len(known_gpus()) == 25


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": -1},
        {"hidden_size": "wide"},
        {"num_hidden_layers": 10**30},
        {"num_hidden_layers": None},
        {"num_attention_heads": 0},
        {"num_attention_heads": 5000},
        {"vocab_size": 1.5},
        {"vocab_size": True},
        {"text_config": [1]},
        {"quantization_config": {"quant_method": "magic"}},
        {"quantization_config": {"quant_method": "compressed-tensors"}},
        {"quantization_config": 8},
        {"torch_dtype": 16},
        {"kv_lora_rank": -3},
        {"n_routed_experts": 8},
        {"rope_scaling": {"rope_type": "yarn", "factor": 1e300}},
        {"rope_scaling": {"rope_type": "linear", "factor": "much"}},
        {"rope_scaling": "yarn"},
        {"hidden_size": 99_999_999, "vocab_size": 99_999_999, "num_hidden_layers": 1999},
    ],
)
def test_a_config_json_that_cannot_be_meant_is_refused_in_a_sentence(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        find_model(config_json(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"hidden_size": NaN}'])
def test_a_file_that_is_no_config_json_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError):
        find_model(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Qwen/Qwen3-32B-FP8", "fp8"),
        ("Qwen/Qwen3-14B-AWQ", "awq_marlin"),
        ("openai/gpt-oss-20b", "mxfp4"),
        ("RedHatAI/Llama-3.3-70B-Instruct-fp8-dynamic", "compressed-tensors"),
        ("nvidia/Llama-3.3-70B-Instruct-FP4", "modelopt_fp4"),
    ],
)
def test_a_quantization_that_the_checkpoint_has_may_be_said(name: str, word: str) -> None:
    assert find_model(name, word) == find_model(name)


@pytest.mark.parametrize(
    ("name", "word", "reason"),
    [
        ("Qwen/Qwen3-32B-FP8", "awq", "the weights of Qwen/Qwen3-32B-FP8 are fp8: vLLM refuses that"),
        ("Qwen/Qwen3-32B", "compressed-tensors", "is a format of checkpoints, and Qwen/Qwen3-32B is not quantized"),
        ("Qwen/Qwen3-32B", "experts_int8", "is for experts"),
        ("Qwen/Qwen3-32B", "", "'' is not known"),
        ("Qwen/Qwen3-32B", "x" * 9000, "is not known"),
    ],
)
def test_a_quantization_that_cannot_be_is_refused(name: str, word: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason) as caught:
        find_model(name, word)
    assert len(str(caught.value)) < 500


def test_a_file_that_is_too_large_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(" " * 40_000_000, encoding="utf-8")
    with pytest.raises(DeclarationError, match=r"config\.json has more than 32 MiB"):
        find_model(str(tmp_path))
