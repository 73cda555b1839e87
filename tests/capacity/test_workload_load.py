"""The load of a workload that is there already: lengths, shared beginnings, rate."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdbench.capacity.lengths import Spread, even_stddev
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.workload_load import load_of_workload
from pytest_llmdbench.errors import DeclarationError

CHAT = Load(4096, 1024, rate=8, prompt=Spread(2048, 8192), output=Spread(512, 2048))


@pytest.mark.parametrize(
    ("name", "harness", "load"),
    [
        ("chatbot_synthetic", "inference-perf", CHAT),
        ("shared_prefix_synthetic", "inference-perf", Load(2304, 256, rate=20, shared=2048 / 2304)),
        ("chatbot_synthetic", "guidellm", CHAT),
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
    assert "prompts of 4096 (up to 8192) and answers of 1024 (up to 2048) tokens" in capsys.readouterr().out


def workload(folder: Path, text: str) -> str:
    file = folder / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_lengths_that_are_shorter_or_longer_by_a_share_spread_evenly() -> None:
    found = load_of_workload("chatbot_synthetic", "vllm-benchmark")
    assert found.prompt == Spread(even_stddev(2 * 0.9 * 4096), 1.9 * 4096)
    assert found.output.most == pytest.approx(1.9 * 1024)


def test_lengths_between_two_that_say_no_deviation_spread_evenly(tmp_path: Path) -> None:
    stages = "load: {type: constant, stages: [{rate: 1, duration: 10}]}\napi: {type: completion}\n"
    lengths = "{mean: 100, min: 40, max: 160}"
    data = f"data: {{type: random, input_distribution: {lengths}, output_distribution: {lengths}}}\n"
    assert load_of_workload(workload(tmp_path, stages + data), "inference-perf").output == Spread(even_stddev(120), 160)


def test_prompts_of_a_conversation_grow_with_its_turns_and_are_mostly_cached() -> None:
    found = load_of_workload("interactive-chat", "inference-perf")
    # Four turns: behind 1000 + 4000 tokens, on average one and a half turns of 50 and 300, and the last words.
    assert found.prompt_tokens == 1000 + 4000 + 1.5 * 350 + 50
    assert found.computed == pytest.approx(50 + 4000 / 4)
    assert found.output == Spread(150, 1000)
    assert found.concurrency == 50
    assert found.prompt.stddev > 2500


def test_a_conversation_that_loses_its_beginning_has_no_longer_prompts_than_it_may() -> None:
    assert load_of_workload("agentic_code_generation", "inference-perf").longest == 262144


def test_the_command_line_is_nearer_than_the_workload(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["recommend", "Qwen/Qwen3-8B", "--workload", "chatbot_synthetic", "--gpu", "H100"]
    main([*words, "--input-tokens", "500", "--output-max", "1500"])
    assert "prompts of 500 and answers of 1024 (up to 1500) tokens" in capsys.readouterr().out
