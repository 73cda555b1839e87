"""Arguments of an engine that are given as they are: what of them counts, and what makes an answer uncertain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.free_flags import read_free, whole_number
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.speed import speed
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.errors import DeclarationError
from tests.capacity.test_model_folders import found


def engine(name: str = "Qwen/Qwen3-8B", **flags: object) -> Configuration:
    return replace(Configuration(find_model(name), find_gpu("H100"), max_model_len=8192), **flags)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-model-len=8192"], {"max_model_len": 8192}),
        (["--max-model-len", "16k", "--port", "8000"], {"max_model_len": 16000}),
        (["--max_num_seqs", "64"], {"max_num_seqs": 64}),
        (["-tp", "2", "-pp=2"], {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}),
        (["--enforce-eager", "--no-enable-chunked-prefill"], {"enforce_eager": True, "enable_chunked_prefill": False}),
        (["--gpu-memory-utilization", "0.8", "--gpu-memory-utilization=0.85"], {"gpu_memory_utilization": 0.85}),
        (["--cpu-offload-gb=10"], {"cpu_offload_gb": 10}),
        (["--kv-cache-dtype", "fp8", "--quantization", "fp8"], {"kv_cache_dtype": "fp8", "quantization": "fp8"}),
        (["--kv-transfer-config", '{"kv_connector": "NixlConnector"}'], {"hybrid_kv": False}),
        (["--enable-prefix-caching"], {"enable_prefix_caching": True}),
        (["--lora-modules", "a=b", "c=d", "--seed", "-1"], {}),
    ],
)
def test_flags_that_count_are_read_as_vllm_reads_them(arguments: list[str], said: dict[str, object]) -> None:
    free = read_free(arguments)
    assert (free.said, free.unread) == (said, ())


@pytest.mark.parametrize(
    "flag",
    [
        "--enable-lora",
        "--speculative-config",
        "--limit-mm-per-prompt",
        "--kv-cache-memory-bytes",
        "--num-gpu-blocks-override",
        "--hf-overrides",
        "--all2all-backend",
        "--enable-eplb",
        "--decode-context-parallel-size",
        "--compilation-config",
        "--a-flag-of-tomorrow",
    ],
)
def test_what_may_change_memory_and_is_not_counted_is_named(flag: str) -> None:
    assert read_free([f"{flag}=1", "--host", "::"]).unread == (flag,)


def test_the_longest_request_that_fits_is_vllms_to_find() -> None:
    for arguments in (["--max-model-len", "auto"], ["--max-model-len", "-1"]):
        assert read_free(arguments).unread == ("--max-model-len",)


@pytest.mark.parametrize("arguments", [["--max-model-len=long"], ["--max-num-seqs"], ["--gpu-memory-utilization", "x"]])
def test_a_value_that_cannot_be_is_refused(arguments: list[str]) -> None:
    with pytest.raises(DeclarationError, match="is not possible"):
        read_free(arguments)


@pytest.mark.parametrize(
    ("text", "number"),
    [("16384", 16384), ("16k", 16000), ("16K", 16384), ("25.6k", 25600), ("1m", 1000000), ("-1", -1)],
)
def test_sizes_may_be_short(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", "k", "1.5", "1e18", "nan", "16 k", "9" * 99])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no whole number"):
        whole_number(text)


def test_an_answer_with_a_flag_that_is_not_counted_is_uncertain_and_names_it() -> None:
    sure = validate(engine())
    unsure = validate(engine(unread=("--enable-lora", "--speculative-config")))
    assert (sure.verdict, unsure.verdict) == ("will start", "uncertain")
    assert "not counted, and it may change that: --enable-lora, --speculative-config" in unsure.why


def test_a_rule_that_is_broken_is_broken_whatever_is_not_counted() -> None:
    assert validate(engine(tensor_parallel_size=3, unread=("--enable-lora",))).verdict == "will not start"


def test_a_flag_of_pictures_does_not_matter_for_a_model_without(tmp_path: Path) -> None:
    flag = ("--limit-mm-per-prompt",)
    assert validate(engine(unread=flag)).verdict == "will start"
    pictures = Configuration(found(tmp_path, "qwen3-vl-8b"), find_gpu("H200"), max_model_len=8192, unread=flag)
    assert validate(pictures).verdict == "uncertain"


def test_weights_in_the_hosts_memory_leave_the_gpus_to_the_kv_cache() -> None:
    plain, offloaded = memory(engine()), memory(engine(cpu_offload_gb=10))
    assert plain.weights - offloaded.weights == pytest.approx(10)
    assert offloaded.kv - plain.kv == pytest.approx(10)
    assert memory(engine(cpu_offload_gb=1000)).weights < 1
    assert any("host's memory" in note for note in validate(engine(cpu_offload_gb=10)).notes)


def test_the_speed_of_weights_in_the_hosts_memory_is_not_estimated() -> None:
    with pytest.raises(DeclarationError, match="cpu_offload_gb"):
        speed(engine(cpu_offload_gb=10), Load(500, 200, concurrency=4))


@pytest.mark.parametrize("size", [-1.0, float("nan"), 1e18])
def test_an_offload_that_cannot_be_is_refused(size: float) -> None:
    with pytest.raises(DeclarationError, match="cpu_offload_gb"):
        validate(engine(cpu_offload_gb=size))


def test_releases_that_nobody_compared_are_rough() -> None:
    old, older = validate(engine(version="0.6.3")), validate(engine(version="0.5.0"))
    assert any("less exact" in note for note in old.notes)
    assert any("rough" in note for note in older.notes)
