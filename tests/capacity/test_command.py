"""``llmdbench-explore`` as people use it: answers, exit codes, files, and mistakes without a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.main import main

LOAD = ("--input-tokens", "1000", "--output-tokens", "500")


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    _, out, _ = run(capsys, *words, "--json")
    return json.loads(out)


def test_an_engine_that_starts_is_told_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "Qwen/Qwen3-32B", "--gpu", "h100", "--max-model-len", "16000")
    assert code == 0
    assert "will start" in out
    assert "KV cache" in out


def test_an_engine_that_does_not_start_is_told_with_what_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "meta-llama/Llama-3.1-70B-Instruct", "--gpu", "h100")
    assert code == 1
    assert "--tensor-parallel-size 4" in out


def test_json_has_canonical_units(capsys: pytest.CaptureFixture[str]) -> None:
    data = as_json(capsys, "check", "Qwen/Qwen3-8B", "--gpu", "H100", *LOAD, "--concurrency", "4")
    assert data["verdict"] == "will start"
    assert data["memory_gib"]["weights"] == pytest.approx(15.27, rel=0.01)
    assert 0.001 < data["speed"]["tpot"] < 0.05
    assert data["speed"]["tpot_range"][0] < data["speed"]["tpot"] < data["speed"]["tpot_range"][1]


def test_an_engine_that_cannot_carry_the_load_is_a_no_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "Qwen/Qwen3-8B", "--gpu", "h100", *LOAD, "--rate", "1000")
    assert code == 1
    assert "will start" in out
    assert "more than one replica does" in out


def test_roles_of_a_scenario_without_a_gpu_are_checked_on_the_gpu_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    roles = as_json(capsys, "check", "--scenario", "pd-disaggregation", "--gpu", "H200")
    assert [(one["role"], one["configuration"]["tensor_parallel_size"]) for one in roles] == [
        ("decode", 2),
        ("prefill", 1),
    ]
    assert {one["configuration"]["gpu"] for one in roles} == {"H200-SXM-141GB"}


def test_memory_of_parallelism_that_cannot_be_is_told_to_be_another_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "Qwen/Qwen3-8B", "--gpu", "h100", "--tensor-parallel-size", "3")
    assert code == 1
    assert "that of one GPU with the whole model" in out


def test_a_gpu_that_is_said_twice_is_tried_once(capsys: pytest.CaptureFixture[str]) -> None:
    best = as_json(capsys, "recommend", "Qwen/Qwen3-8B", *LOAD, "--gpu", "H100", "--gpu", "h100")["best"]
    labels = [one["label"] for one in best]
    assert len(labels) == len(set(labels))


def test_a_recommendation_writes_a_scenario_and_a_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    scenario, page = tmp_path / "best.yaml", tmp_path / "space.html"
    words = ("recommend", "Qwen/Qwen3-8B", *LOAD, "--rate", "5", "--slo", "tpot.p90 <= 50ms")
    code, out, _ = run(capsys, *words, "--write-scenario", str(scenario), "--html", str(page))
    assert code == 0
    assert "a GPU-hour" in out
    assert "TPOT and throughput to about 20%" in out
    assert run(capsys, "check", "--scenario", str(scenario))[0] == 0
    text = page.read_text(encoding="utf-8")
    assert "Plotly.newPlot" in text
    assert "<script src" not in text
    assert "<link" not in text


def test_what_was_found_is_told_where_no_scenario_can_say_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "num_hidden_layers": 8, "vocab_size": 32000,
        "num_attention_heads": 16, "intermediate_size": 4096, "max_position_embeddings": 8192,
    }  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "recommend", "mine", *LOAD, "--gpu", "L4", "--write-scenario", "best.yaml")
    assert code == 2
    assert "1 x L4" in out
    assert "mine is a path on this machine" in err
    assert not Path("best.yaml").exists()


def test_a_hostile_name_stays_text_in_the_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    folder.mkdir()
    config = {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "num_hidden_layers": 8, "vocab_size": 32000,
        "num_attention_heads": 16, "intermediate_size": 4096, "max_position_embeddings": 8192,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    page = tmp_path / "space.html"
    assert run(capsys, "recommend", str(folder), *LOAD, "--html", str(page))[0] == 0
    assert "<img" not in page.read_text(encoding="utf-8").replace("plotly", "").split("<script>")[0]


def test_nothing_that_meets_the_slo_is_a_no(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--slo", "tpot.mean <= 0.01ms", "--write-scenario", "best.yaml")
    code, out, err = run(capsys, "recommend", "Qwen/Qwen3-8B", *LOAD, *words)
    assert code == 1
    assert "nothing meets the SLO" in out
    assert "no scenario was written" in err


def test_json_of_a_recommendation_has_the_front(capsys: pytest.CaptureFixture[str]) -> None:
    data = as_json(capsys, "recommend", "Qwen/Qwen3-8B", *LOAD, "--concurrency", "64", "--gpu", "H100", "--gpu", "L4")
    assert data["best"][0]["cost"]["per_million"] > 0
    assert data["pareto"]


def test_a_rehearsal_is_written_for_the_simulator(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "like-h100.yaml"
    code, out, _ = run(capsys, "rehearse", "Qwen/Qwen3-8B", "--gpu", "h100", "--write", str(file))
    assert code == 0
    assert "--scenario=" in out
    assert "simulator:" in file.read_text(encoding="utf-8")


def test_a_log_is_compared_with_the_estimate(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "vllm.log"
    log.write_text("INFO 11-20 10:00:00 [x.py:3] Model loading took 15.27 GiB memory and 3.2 seconds\n")
    (found,) = as_json(capsys, "compare", str(log), "Qwen/Qwen3-8B", "--gpu", "H100")
    assert found["error"] == pytest.approx(0, abs=0.01)


def test_models_and_gpus_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Qwen/Qwen3-32B" in run(capsys, "models")[1]
    assert "USD an hour" in next(line for line in run(capsys, "gpus")[1].splitlines() if "H100-SXM-80GB" in line)


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
        (("recommend", "Qwen/Qwen3-8B", *LOAD, "--prices", "/nowhere.yaml"), "cannot be read"),
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


def test_the_module_answers_without_numbers_libraries() -> None:
    code = (
        "import sys; from pytest_llmdbench.capacity.main import main; "
        "main(['check', 'Qwen/Qwen3-8B', '--gpu', 'h100']); "
        "print(sorted({'numpy', 'pandas', 'plotly', 'torch', 'kubernetes'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
