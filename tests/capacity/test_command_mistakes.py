"""What ``llmdbench-explore`` says where the question cannot be meant: one sentence with the way out, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdbench.capacity.main import main
from tests.capacity.test_command import LOAD, run


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("check",), "a model and a GPU are needed"),
        (("check", "Qwen/Qwen3-33B", "--gpu", "h100"), "did you mean 'Qwen/Qwen3-32B'"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h10"), "did you mean 'h100'"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--tensor-parallel-size", "0"), "tensor_parallel_size"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--max-model-len=-4"), "max_model_len"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--quantization", "fp9"), "did you mean 'fp8'"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--vllm", "new"), "vLLM version"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--vllm", ""), "vLLM version"),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--vllm", ""), "vLLM version"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--dtype", "fp8"), "weights in FP8 are --quantization fp8"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--dtype", "bfloat17"), "did you mean 'bfloat16'"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--kv-cache-dtype", "fp8_e4m4"), "'fp8_e4m3'"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--kv-cache-dtype", "half"), "kv_cache_dtype"),
        (("check", "Qwen/Qwen3-33B", "--gpu", "h100"), "; --hub asks the hub itself"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--input-tokens=-1", "--output-tokens", "5"), "--input-tokens"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--input-tokens=1e9", "--output-tokens", "5"), "100,000,000"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--max-num-seqs", "0"), "max_num_seqs"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--concurrency", "4"), "--concurrency needs the lengths"),
        (("check", "Qwen/Qwen3-8B", "--gpu", "h100", "--corrections", "/nowhere.json"), "/nowhere.json"),
        (("check", "--scenario", "h1000"), "h100"),
        (("check", "--scenario", "h100", "Qwen/Qwen3-8B"), "MODEL"),
        (("check", "--scenario", "h100", "--tensor-parallel-size", "2"), "--tensor-parallel-size"),
        (("check", "--scenario", "local"), "deploy: local"),
        (("check", "--scenario", "pd-disaggregation"), "--gpu"),
        (("rehearse", "Qwen/Qwen3-8B", "--gpu", "h100", "--tensor-parallel-size", "3"), "32 attention heads"),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--top", "0"), "--top"),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--max-model-len", "300"), "1500 tokens"),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--slo", "ttfd.p90 <= 1s"), "ttft"),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--rate", "-1"), "--rate"),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--rate", "nan"), "--rate"),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--max-gpus", "0"), "--max-gpus"),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--max-model-len", "99999999"), "--max-model-len"),
        (
            ("recommend", "Qwen/Qwen3-8B", *LOAD, "--prices", "/nowhere.yaml"),
            "/nowhere.yaml: cannot be read: No such file or directory",
        ),
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--gpu", "L4", "--html", "/nowhere/x.html"), "cannot be written"),
        (("compare", "/nowhere.log", "Qwen/Qwen3-8B", "--gpu", "h100"), "cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert reason in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [("rehearse", "--gpu", "h100"), ("compare", "vllm.log", "--gpu", "h100")])
def test_a_model_that_is_needed_is_asked_for_in_the_usage(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    shown = capsys.readouterr().err
    assert "required: MODEL" in shown
    assert "[MODEL]" not in shown


def test_a_table_that_is_not_text_says_so_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    table.write_bytes(b"\xff\xfe")
    _, _, err = run(capsys, "recommend", "Qwen/Qwen3-8B", *LOAD, "--prices", str(table))
    assert err.count("prices.yaml") == 1
    assert "not text in UTF-8" in err
