"""The whole way with the real load program: from a profile of llm-d-benchmark to a verdict."""

from __future__ import annotations

import json

import pytest

PROFILE = """
load:
  type: constant
  stages:
  - rate: 2
    duration: 3
api:
  type: completion
  streaming: true
server:
  type: vllm
  model_name: REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_MODEL
  base_url: REPLACE_ENV_LLMDBENCH_HARNESS_STACK_ENDPOINT_URL
  ignore_eos: true
tokenizer:
  pretrained_model_name_or_path: REPLACE_ENV_LLMDBENCH_DEPLOY_CURRENT_TOKENIZER
data:
  type: random
  input_distribution: {min: 20, max: 40, mean: 30, std_dev: 5, total_count: 20}
  output_distribution: {min: 4, max: 8, mean: 6, std_dev: 1, total_count: 20}
storage:
  local_storage:
    path: /workspace
"""


@pytest.mark.harness
@pytest.mark.parametrize("tokenizer", ["TOKENIZER", pytest.param("MODEL", marks=pytest.mark.thorough)])
def test_a_profile_of_llm_d_benchmark_runs_as_it_is(project: pytest.Pytester, tokenizer: str) -> None:
    (project.path / "mine.yaml.in").write_text(PROFILE.replace("CURRENT_TOKENIZER", f"CURRENT_{tokenizer}"))
    done = project.runpytest_subprocess(
        "--scenario=one", "--llmd-harness=inference-perf", "--llmd-workload=mine.yaml.in", "--llmd-slo=error_rate<=0.1%"
    )
    assert done.ret == 0
    (file,) = project.path.glob("llmdbench-results/*/*/result.json")
    result = json.loads(file.read_text())
    assert result["whole"]["requests"]["completed"] == result["server"]["requests"]["finished"] == 6
    assert result["whole"]["output_tokens"] == result["server"]["tokens"]["output"]
    assert result["whole"]["prompt_tokens"] == result["server"]["tokens"]["prompt"]
    assert result["whole"]["latencies"]["ttft"]["percentiles"]
