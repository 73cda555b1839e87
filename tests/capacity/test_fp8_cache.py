"""A KV cache in FP8 that the checkpoint asks for: where it says so, which releases heed it, and what wins over it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.answers import configuration_data
from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.explore import explore
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.preflight import check_scenario
from pytest_llmdbench.capacity.scenario_file import scenario_of
from pytest_llmdbench.capacity.texts import exploration_lines, validation_lines
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.declared.scenario import Scenario
from tests.capacity.test_models import config_json

NVIDIA = "nvidia/Llama-3.1-8B-Instruct-FP8"
SCHEME = {"dynamic": False, "num_bits": 8, "type": "float"}
GROUPS = {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}
MODELOPT = {"quant_method": "modelopt", "quant_algo": "FP8"}
COMPRESSED = {"quant_method": "compressed-tensors", "config_groups": GROUPS}


def engine(model: str, **flags: Any) -> Configuration:
    return Configuration(find_model(model), find_gpu("H100"), **flags)


@pytest.mark.parametrize(
    "said",
    [
        MODELOPT | {"kv_cache_quant_algo": "FP8"},
        MODELOPT | {"kv_cache_scheme": SCHEME},
        MODELOPT | {"kv_cache_scheme": "FP8"},
        {"quant_method": "modelopt_fp4", "quant_algo": "NVFP4", "kv_cache_scheme": SCHEME},
        {"quant_method": "modelopt", "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}},
        COMPRESSED | {"kv_cache_scheme": SCHEME | {"strategy": "tensor"}},
    ],
)
def test_a_checkpoint_asks_for_it_in_its_config_json(tmp_path: Path, said: dict[str, Any]) -> None:
    config = engine(config_json(tmp_path, quantization_config=said))
    assert config.kv_bytes == 1
    assert configuration_data(config)["kv_cache_dtype"] == "fp8"
    assert "  KV cache in FP8, as the checkpoint asks" in list(validation_lines(validate(config)))


@pytest.mark.parametrize(
    "said",
    [
        MODELOPT,
        MODELOPT | {"kv_cache_quant_algo": None},
        MODELOPT | {"kv_cache_quant_algo": "INT8"},
        MODELOPT | {"kv_cache_scheme": SCHEME | {"dynamic": True}},
        {"quant_method": "fp8", "kv_cache_scheme": "static"},
        {"quant_method": "fp8", "kv_cache_quant_algo": "FP8"},
        COMPRESSED | {"kv_cache_scheme": None},
        COMPRESSED | {"kv_cache_scheme": SCHEME | {"type": "int"}},
    ],
)
def test_a_checkpoint_that_does_not_ask_keeps_its_16_bits(tmp_path: Path, said: dict[str, Any]) -> None:
    config = engine(config_json(tmp_path, quantization_config=said))
    assert config.kv_bytes == 2
    assert configuration_data(config)["kv_cache_dtype"] == "auto"
    assert "in FP8" not in "\n".join(validation_lines(validate(config)))


def test_a_checkpoint_asks_for_it_in_the_file_beside_its_config_json(tmp_path: Path) -> None:
    folder = config_json(tmp_path)
    beside = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside), encoding="utf-8")
    config = engine(folder)
    assert (config.model.quantization.name, config.kv_bytes) == ("nvfp4", 1)


def test_the_config_json_counts_and_not_the_file_beside_it(tmp_path: Path) -> None:
    folder = config_json(tmp_path, quantization_config=MODELOPT)
    beside = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside), encoding="utf-8")
    assert engine(folder).kv_bytes == 2


def test_weights_that_the_file_beside_says_nothing_of_stay_as_they_are(tmp_path: Path) -> None:
    folder = config_json(tmp_path)
    beside = {"quantization": {"quant_algo": None, "kv_cache_quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(beside), encoding="utf-8")
    config = engine(folder)
    assert (config.model.quantization.name, config.kv_bytes) == ("none", 1)


@pytest.mark.parametrize(
    ("said", "before", "since"),
    [
        (MODELOPT | {"kv_cache_quant_algo": "FP8"}, "0.12.0", "0.14.0"),
        (COMPRESSED | {"kv_cache_scheme": SCHEME}, "0.14.1", "0.15.0"),
    ],
)
def test_only_releases_that_heed_it_have_it(tmp_path: Path, said: dict[str, Any], before: str, since: str) -> None:
    model = config_json(tmp_path, quantization_config=said)
    old, new = engine(model, version=before), engine(model, version=since)
    assert (old.kv_bytes, new.kv_bytes) == (2, 1)
    assert memory(new).tokens == pytest.approx(2 * memory(old).tokens, rel=0.01)


def test_a_flag_wins_over_the_checkpoint() -> None:
    config = engine(NVIDIA, kv_cache_dtype="bfloat16")
    assert config.kv_bytes == 2
    assert "in FP8" not in "\n".join(validation_lines(validate(config)))


@pytest.mark.parametrize(
    "name", [NVIDIA, "nvidia/Qwen3-32B-FP4", "nvidia/DeepSeek-R1-0528-NVFP4", "nvidia/MiniMax-M2.5-NVFP4"]
)
def test_a_checkpoint_of_nvidias_that_is_known_by_its_name_has_it_and_says_that_it_may_not(name: str) -> None:
    config = engine(name)
    assert config.kv_bytes == 1
    assert "nearly all ask (vLLM's --kv-cache-dtype bfloat16" in "\n".join(validation_lines(validate(config)))


@pytest.mark.parametrize("name", ["RedHatAI/Llama-3.1-8B-Instruct-FP8", "Qwen/Qwen3-32B-FP8", "nvidia/Qwen3-32B-AWQ"])
def test_other_quantized_copies_that_are_known_by_their_names_have_it_not(name: str) -> None:
    assert engine(name).kv_bytes == 2


def test_nvidias_fp4_of_models_that_are_published_in_fewer_bits_leaves_attention_as_it_is() -> None:
    assert find_model("nvidia/DeepSeek-R1-0528-NVFP4").quantization.linear_bits is None
    assert find_model("nvidia/Qwen3-32B-FP4").quantization.linear_bits == 4.5


def recommended(version: str) -> Any:
    return explore(
        Asked(
            find_model(NVIDIA),
            Load(1000, 500, concurrency=1),
            gpus=[find_gpu("H100")],
            small_types=True,
            version=version,
        )
    )


def test_a_recommendation_proposes_it_once() -> None:
    labels = [one.label for one in recommended("0.26.0").best]
    assert labels
    assert len(labels) == len(set(labels))
    assert not any("kv fp8" in label for label in labels)
    assert sum("KV cache in FP8" in line for line in exploration_lines(recommended("0.26.0"), 10)) == 1
    before = recommended("0.12.0")
    assert sum("kv fp8" in one.label for one in before.best) == len(labels) == len(before.best) / 2
    assert not any("KV cache in FP8" in line for line in exploration_lines(before, 10))


def scenario(**changes: Any) -> Scenario:
    data: dict[str, Any] = {
        "deploy": "standalone",
        "model": {"name": NVIDIA},
        "accelerator": {"product": "NVIDIA-H100-80GB-HBM3"},
        "engine": {"image": "docker.io/vllm/vllm-openai:v0.26.0"},
    }
    return Scenario.model_validate(data | changes)


def test_the_check_before_a_standup_counts_with_it() -> None:
    def tokens(**changes: Any) -> int:
        (found,) = check_scenario(scenario(**changes))
        return found.validation.memory.tokens

    assert tokens() == pytest.approx(2 * tokens(vllm={"kv_cache_dtype": "bfloat16"}), rel=0.01)
    old = {"image": "docker.io/vllm/vllm-openai:v0.12.0"}
    assert tokens(engine=old, vllm={"kv_cache_dtype": "fp8"}) == pytest.approx(2 * tokens(engine=old), rel=0.01)


def test_a_scenario_that_was_written_leaves_it_to_the_checkpoint() -> None:
    found = recommended("0.26.0")
    assert "kv_cache_dtype" not in scenario_of(found.best[0], found.asked)


def test_the_simulator_like_a_gpu_has_twice_the_blocks() -> None:
    def blocks(**flags: Any) -> int:
        data = {"model": {"name": NVIDIA}, "simulator": {"like": "h100"}, "vllm": flags}
        return Scenario.model_validate(data).simulator.num_kv_blocks

    assert blocks() == pytest.approx(2 * blocks(kv_cache_dtype="bfloat16"), rel=0.01)
