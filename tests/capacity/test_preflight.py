"""A scenario that cannot start is found before anything is deployed, and one that nobody knows is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.preflight import Finding, check_scenario
from pytest_llmdbench.capacity.products import Product
from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.declared.strict import read_model

SHIPPED = sorted((shipped_root() / "scenarios").glob("*.yaml"))


def check(**changes: Any) -> list[Finding]:
    data: dict[str, Any] = {
        "deploy": "standalone",
        "model": {"name": "Qwen/Qwen3-32B"},
        "accelerator": {"product": "NVIDIA-H100-80GB-HBM3"},
        "vllm": {"max_model_len": 16000},
    }
    return check_scenario(Scenario.model_validate(data | changes))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_no_scenario_that_comes_along_is_refused(path: Path) -> None:
    layers = Layers()
    layers.add_source(load_yaml(path))
    assert [one.text for one in check_scenario(read_model(Scenario, layers)) if one.fatal] == []


def test_a_scenario_that_fits_has_a_finding_that_is_not_fatal() -> None:
    (found,) = check()
    assert not found.fatal
    assert "will start" in found.text


def test_a_model_that_is_too_large_is_fatal_and_says_which_key_mends_it() -> None:
    (found,) = check(model={"name": "meta-llama/Llama-3.3-70B-Instruct"})
    assert found.fatal
    assert "vllm.tensor_parallel_size: 4" in found.text


def test_where_no_key_is_enough_alone_two_are_said() -> None:
    (found,) = check(model={"name": "meta-llama/Llama-4-Scout-17B-16E-Instruct"}, vllm={})
    assert "vllm.tensor_parallel_size: 4 and vllm.max_model_len: " in found.text


def test_each_role_is_judged_by_its_own_flags() -> None:
    decode = {"vllm": {"tensor_parallel_size": 4}}
    prefill = {"replicas": 1, "vllm": {"tensor_parallel_size": 1}}
    found = check(
        deploy="modelservice",
        model={"name": "meta-llama/Llama-3.3-70B-Instruct"},
        decode=decode,
        prefill=prefill,
    )
    assert [(one.role, one.fatal) for one in found] == [("decode", False), ("prefill", True)]
    assert "prefill.vllm.tensor_parallel_size: 4" in found[1].text


def test_too_few_gpus_for_the_parallelism_are_fatal() -> None:
    (found,) = check(vllm={"tensor_parallel_size": 4, "max_model_len": 4096}, pods={"gpus": 2})
    assert found.fatal
    assert "takes 4 GPUs, and a pod has 2" in found.text


def test_a_scenario_that_names_no_gpu_is_judged_on_the_one_that_its_nodes_have() -> None:
    data = {"deploy": "standalone", "model": {"name": "meta-llama/Llama-3.3-70B-Instruct"}}
    known = {"pods": Product("NVIDIA-H100-80GB-HBM3", "by the label nvidia.com/gpu.product of all nodes")}
    (found,) = check_scenario(Scenario.model_validate(data), known)  # type: ignore[arg-type]
    assert found.fatal
    assert "(pods; its GPU by the label nvidia.com/gpu.product of all nodes) will not start" in found.text
    assert "vllm.tensor_parallel_size: 4" in found.text


def test_free_arguments_count_as_the_keys_do_and_the_last_of_a_flag_holds() -> None:
    arguments = ["--max-model-len", "8k", "--max_num_seqs=16", "-tp", "2"]
    (found,) = check(
        vllm={"tensor_parallel_size": 1, "max_model_len": 40_000, "extra_args": arguments}, pods={"gpus": 2}
    )
    config = found.validation.config
    assert (config.max_model_len, config.max_num_seqs, config.tensor_parallel_size) == (8000, 16, 2)


def test_a_flag_that_may_change_what_fits_and_is_not_counted_makes_it_uncertain_and_is_named() -> None:
    (found,) = check(vllm={"max_model_len": 4096, "extra_args": ["--enable-lora", "--port=9"]})
    assert found.validation.verdict == "uncertain"
    assert "--enable-lora" in found.text
    assert "--port" not in found.text
    assert not found.fatal


@pytest.mark.parametrize(
    "changes",
    [
        {"accelerator": {}},
        {"accelerator": {"product": "ACME-1000"}},
        {"model": {"name": "acme/secret-9000B"}},
        {"engine": {"kind": "simulator"}},
        {"deploy": "local", "accelerator": {}},
        {"vllm": {"quantization": "acme"}},
        {"vllm": {"dtype": "acme"}},
        {"pods": {"env": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}}, "vllm": {"max_model_len": 900_000}},
    ],
)
def test_what_nobody_knows_is_not_judged(changes: dict[str, Any]) -> None:
    assert check(**changes) == []
