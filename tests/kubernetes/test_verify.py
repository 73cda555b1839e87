"""What runs is compared with what was asked for: from live objects, not from the plan."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.podspec import flags_of
from pytest_llmdbench.stacks.kubernetes.rendered import Expected
from pytest_llmdbench.stacks.kubernetes.vantage import Answer
from pytest_llmdbench.stacks.kubernetes.verify import (
    cache_trouble,
    completion_trouble,
    differing_files,
    differing_flags,
    differing_pods,
    model_trouble,
)

EXPECTED = Expected("server", {}, 1, "vllm", {"--max-model-len": "4096", "--enforce-eager": None})


def pod(*words: str, name: str = "vllm") -> dict[str, Any]:
    container = {"name": name, "command": ["vllm", "serve"], "args": list(words)}
    return {"metadata": {"name": "p"}, "spec": {"containers": [container]}}


@pytest.mark.parametrize(
    "words",
    [
        ("model", "--max-model-len=4096", "--enforce-eager"),
        ("model", "--max-model-len", "4096", "--enforce-eager"),
        ("-c", "vllm serve model --max-model-len 4096 --enforce-eager"),
    ],
)
def test_flags_are_found_however_the_command_is_written(words: tuple[str, ...]) -> None:
    assert differing_flags(EXPECTED, [pod(*words)]) == []


def test_a_flag_with_another_value_is_named_with_both() -> None:
    (said,) = differing_flags(EXPECTED, [pod("--max-model-len=256", "--enforce-eager")])
    assert "--max-model-len=256" in said
    assert "4096" in said


def test_a_flag_that_is_missing_is_named() -> None:
    (said,) = differing_flags(EXPECTED, [pod("--max-model-len=4096")])
    assert "without --enforce-eager" in said


def test_a_value_with_spaces_in_it_is_one_value() -> None:
    config = json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})
    expected = Expected("decode", {}, 1, "vllm", {"--kv-transfer-config": config})
    assert differing_flags(expected, [pod(f"--kv-transfer-config={config}")]) == []


def test_a_pod_without_the_engine_is_named() -> None:
    (said,) = differing_flags(EXPECTED, [pod(name="proxy")])
    assert "no container vllm" in said


def test_another_model_than_the_scenarios_is_named_with_the_key() -> None:
    scenario = Scenario.model_validate({"model": {"name": "mine"}})
    trouble = model_trouble(Answer(200, json.dumps({"data": [{"id": "theirs"}]})), scenario, None)
    assert trouble
    assert "theirs" in trouble
    assert "model.name" in trouble


def test_a_shorter_context_than_asked_for_is_found() -> None:
    scenario = Scenario.model_validate({"model": {"name": "mine"}})
    models = Answer(200, json.dumps({"data": [{"id": "mine", "max_model_len": 2048}]}))
    assert "2048" in (model_trouble(models, scenario, 4096) or "")
    assert model_trouble(models, scenario, 2048) is None


def test_the_engines_own_account_of_its_cache_is_compared() -> None:
    metrics = Answer(200, 'x 1\nvllm:cache_config_info{block_size="16",gpu_memory_utilization="0.9"} 1.0\n')
    assert cache_trouble(metrics, {"--block-size": "16", "--gpu-memory-utilization": "0.90"}) is None
    assert "block_size 16, not 64" in (cache_trouble(metrics, {"--block-size": "64"}) or "")


def test_an_engine_that_gives_no_account_is_not_blamed() -> None:
    assert cache_trouble(Answer(404, ""), {"--block-size": "64"}) is None


def test_a_completion_without_a_token_is_no_completion() -> None:
    assert completion_trouble(Answer(200, json.dumps({"usage": {"completion_tokens": 1}}))) is None
    assert "without a token" in (completion_trouble(Answer(200, "{}")) or "")
    assert "503" in (completion_trouble(Answer(503, "no endpoints")) or "")


def test_flags_of_a_command_line_are_read_in_every_spelling() -> None:
    assert flags_of(["serve", "m", "--a=1", "--b", "2", "--c"]) == {"--a": "1", "--b": "2", "--c": None}


def test_the_pickers_plugins_are_compared_with_the_live_configmap() -> None:
    files = {"plugins.yaml": "plugins: [{type: queue-scorer}]"}
    same = {"data": {"plugins.yaml": "plugins:\n- type: queue-scorer\n"}}
    other = {"data": {"plugins.yaml": "plugins: []"}}
    assert differing_files(files, [{"data": None}, same]) == []
    assert differing_files(files, [other]) == ["plugins.yaml is not what the scenario says"]
    assert differing_files(files, []) == ["no ConfigMap holds plugins.yaml"]


def test_a_pool_that_holds_other_pods_than_those_that_serve_is_found_out() -> None:
    assert differing_pods(["a", "b"], ["b", "a"]) == []
    assert differing_pods(["a"], ["a", "stranger"]) == ["stranger is in an InferencePool and is none of this stack's"]
    assert differing_pods(["a", "b"], ["a"]) == ["b serves and is in no InferencePool"]
