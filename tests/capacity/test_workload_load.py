"""The load of a workload that is there already: lengths, shared beginnings, rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.workload_load import load_of_workload
from pytest_llmdbench.errors import DeclarationError


@pytest.mark.parametrize(
    ("name", "harness", "load"),
    [
        ("chatbot_synthetic", "inference-perf", Load(4096, 1024, rate=8)),
        ("shared_prefix_synthetic", "inference-perf", Load(2304, 256, rate=20, shared=2048 / 2304)),
        ("chatbot_synthetic", "guidellm", Load(4096, 1024, rate=8)),
        ("random_concurrent", "vllm-benchmark", Load(10000, 1000, concurrency=1)),
        ("synthetic", "aiperf", Load(1000, 200, concurrency=16)),
        ("sonnet_concurrent", "vllm-benchmark", Load(8192, 512, rate=20, shared=0.75)),
    ],
)
def test_a_workload_says_its_load(name: str, harness: str, load: Load) -> None:
    assert load_of_workload(name, harness) == load


@pytest.mark.parametrize("name", ["chatbot_sharegpt", "no-such-workload"])
def test_a_workload_without_lengths_or_of_no_such_name_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match=name):
        load_of_workload(name, "inference-perf")


@pytest.mark.parametrize("mean", ["long", "-1", ".nan", "[1]", "true", "null"])
def test_lengths_that_are_no_numbers_are_refused(tmp_path: Path, mean: str) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(f"data: {{input_distribution: {{mean: {mean}}}, output_distribution: {{mean: 5}}}}\n")
    with pytest.raises(DeclarationError):
        load_of_workload(str(file), "inference-perf")


def test_gpus_are_recommended_for_a_workload(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "Qwen/Qwen3-8B", "--workload", "chatbot_synthetic", "--gpu", "H100"]) == 0
    assert "prompts of 4096 and answers of 1024 tokens" in capsys.readouterr().out
