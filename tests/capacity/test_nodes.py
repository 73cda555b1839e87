"""Models that one node does not hold: how a replica is spread over several, why so, and what the network costs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.explore import Exploration, explore
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.nodes import network_s, placed
from pytest_llmdbench.capacity.preflight import check_scenario
from pytest_llmdbench.capacity.scenario_file import scenario_of
from pytest_llmdbench.capacity.speed import speed
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.errors import DeclarationError
from tests.capacity.test_explore import as_scenario

LOAD = Load(1000, 500, concurrency=1)
ROOT = Path(__file__).parents[2]


def search(model: str, gpu: str, **changes: Any) -> Asked:
    return replace(Asked(find_model(model), LOAD, gpus=[find_gpu(gpu)], rate=5.0, splits=False), **changes)


@pytest.fixture(scope="module")
def deepseek() -> Exploration:
    return explore(search("deepseek-ai/DeepSeek-V3", "H100"))


def ways(found: Exploration) -> set[tuple[int, int, int]]:
    configs = [one.config for one in found.best]
    return {(one.tensor_parallel_size, one.pipeline_parallel_size, one.data_parallel_size) for one in configs}


def test_what_one_node_does_not_hold_is_spread_over_two(deepseek: Exploration) -> None:
    assert {one.config.nodes for one in deepseek.best} == {2}
    assert {one.config.gpus for one in deepseek.best} == {16}
    assert ways(deepseek) == {(8, 2, 1), (1, 1, 16), (2, 1, 8), (4, 1, 4), (8, 1, 2)}
    assert all(validate(one.config).verdict == "will start" for one in deepseek.best)


def test_what_one_node_holds_stays_on_it() -> None:
    assert {one.config.nodes for one in explore(search("Qwen/Qwen3-235B-A22B-FP8", "H100")).best} == {1}


def test_a_model_without_experts_is_spread_by_pipeline_stages_alone() -> None:
    assert ways(explore(search("meta-llama/Llama-3.1-405B", "H100"))) == {(8, 2, 1)}


def test_tensor_parallelism_stays_within_a_node_of_that_gpu() -> None:
    found = explore(search("moonshotai/Kimi-K2-Instruct", "GB200"))
    assert found.best
    assert all(one.config.tensor_parallel_size <= 4 for one in found.best)
    assert all(one.config.gpus == 4 * one.config.nodes for one in found.best)


def test_gpus_that_no_fast_link_joins_are_tried_on_one_node() -> None:
    found = explore(search("deepseek-ai/DeepSeek-V3", "L40S"))
    assert not found.best
    assert "weights" in found.refused["L40S"]


def test_no_more_gpus_are_taken_than_are_asked_for() -> None:
    assert not explore(search("deepseek-ai/DeepSeek-V3", "H100", most_gpus=8)).best
    assert explore(search("deepseek-ai/DeepSeek-V3", "H100", most_gpus=16)).best


def test_the_network_costs_time_and_more_so_for_more_tokens(deepseek: Exploration) -> None:
    for one in deepseek.best:
        near = speed(one.config, replace(LOAD, concurrency=None, rate=5 / one.replicas))
        assert one.speed.tpot > near.tpot
        assert one.speed.ttft > near.ttft
        assert one.speed.e2e > near.e2e
        assert one.speed.output_tokens_per_second == near.output_tokens_per_second
        assert one.speed.concurrency > near.concurrency
        assert 0 < network_s(one.config, 1) < network_s(one.config, 1000)
        assert network_s(replace(one.config, pipeline_parallel_size=1, data_parallel_size=1), 1000) == 0


def test_the_network_costs_throughput_of_as_many_requests_in_flight() -> None:
    for one in explore(search("deepseek-ai/DeepSeek-V3", "H100", rate=None)).best:
        near = speed(one.config, replace(LOAD, concurrency=one.concurrency))
        assert one.speed.output_tokens_per_second < near.output_tokens_per_second


def test_a_placement_says_why_in_words(deepseek: Exploration) -> None:
    said = {one.config.pipeline_parallel_size: placed(one.config) for one in deepseek.best}
    assert "stages hold the layers one after the other" in said[2]
    assert "experts are spread over all 16 GPUs" in said[1]


def test_the_command_tells_the_placement_and_what_it_assumes(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "recommend",
        "deepseek-ai/DeepSeek-V3",
        "--gpu",
        "H100",
        "--input-tokens",
        "1000",
        "--output-tokens",
        "500",
    ]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "16 x H100-SXM-80GB, 2 nodes, tp8, pp2" in printed
    assert printed.count("as one has not the room") == 2, "each way once, not one a line of the table"
    assert "one state a token and stage" in printed
    assert "assumed between nodes: 25 GB/s a GPU" in printed


def test_copies_over_nodes_are_a_scenario_that_says_so(deepseek: Exploration) -> None:
    for best in deepseek.best:
        if best.config.data_parallel_size == 1:
            continue
        scenario = as_scenario(scenario_of(best, deepseek.asked))
        decode = scenario.role("decode")
        assert (scenario.deploy, decode.workers, decode.replicas) == ("modelservice", 2, best.replicas)
        assert decode.vllm.gpus == 16
        assert decode.vllm.enable_expert_parallel
        (finding,) = check_scenario(scenario)
        assert finding.validation.verdict == "will start"
        assert finding.validation.memory.kv == pytest.approx(validate(best.config).memory.kv)


def test_the_scenario_of_copies_over_nodes_is_planned_and_rendered(deepseek: Exploration, tmp_path: Path) -> None:
    best = next(one for one in deepseek.best if one.config.data_parallel_size == 8)
    file = tmp_path / "two-nodes.yaml"
    file.write_text(scenario_of(best, deepseek.asked), encoding="utf-8")
    options = [f"--scenario={file}", "--llmd-dry-run", "-p", "no:cacheprovider", f"--llmd-results={tmp_path}"]
    command = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), "-k", "chatbot", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    for shown in ("multinode: true", "workers: 2", "--data-parallel-size-local=4", "--enable-expert-parallel"):
        assert shown in run.stdout
    assert "nvidia.com/gpu: '8'" in run.stdout


def test_stages_over_nodes_make_no_scenario_that_would_not_work(deepseek: Exploration) -> None:
    stages = next(one for one in deepseek.best if one.config.pipeline_parallel_size == 2)
    with pytest.raises(DeclarationError, match="not pipeline stages"):
        scenario_of(stages, deepseek.asked)


def test_experts_spread_on_one_node_are_spread_in_the_scenario_too() -> None:
    found = explore(search("deepseek-ai/DeepSeek-V3", "H200"))
    best = next(one for one in found.best if one.config.data_parallel_size == 8)
    scenario = as_scenario(scenario_of(best, found.asked))
    assert scenario.deploy == "standalone"
    assert scenario.vllm.enable_expert_parallel
