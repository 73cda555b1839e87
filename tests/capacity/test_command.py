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


def test_a_load_says_how_many_of_it_have_a_place_and_longer_ones_are_fewer(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("check", "Qwen/Qwen3-8B", "--gpu", "L4", "--max-model-len", "8192", *LOAD)
    even = as_json(capsys, *words)["places"]
    differing = as_json(capsys, *words, "--output-stddev", "500")["places"]
    assert 1 < differing < even
    assert f"{even} requests of this load at once" in run(capsys, *words)[1]


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
    assert out.splitlines()[-2:] == [f"{page} written", f"{scenario} written; run it with --scenario={scenario}"]
    assert code == 0
    assert "a GPU-hour" in out
    assert "TPOT and throughput to about 20%" in out
    assert run(capsys, "check", "--scenario", str(scenario))[0] == 0
    text = page.read_text(encoding="utf-8")
    assert "Plotly.newPlot" in text
    axes = [chart["layout"].get("xaxis", {}).get("title", {}).get("text") for chart in charts_of(text)]
    assert axes == [None, "TPOT, ms", "TTFT, ms", "TPOT, ms", "TTFT, ms"], "memory, throughput twice, cost twice"
    assert all(chart["data"] for chart in charts_of(text))
    assert "<script src" not in text
    assert "<link" not in text


def charts_of(page: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.JSONDecoder().raw_decode(page.rpartition("const charts=")[2])[0]
    return found


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
    cost = data["best"][0]["cost"]
    both = cost["per_million_input"] * 1000 + cost["per_million_output"] * 500
    assert both == pytest.approx(500 * cost["whole_per_million_output"])
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


@pytest.mark.parametrize("words", [("check", "--gpu", "h100"), ("recommend", "--gpu", "h100", *LOAD)])
def test_a_release_that_is_newer_than_the_rules_is_noted(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    command, *rest = words
    assert "vLLM 99.0 is newer than" in run(capsys, command, "Qwen/Qwen3-8B", *rest, "--vllm", "99.0")[1]
    assert "is newer than" not in run(capsys, command, "Qwen/Qwen3-8B", *rest)[1]


def test_the_module_answers_without_numbers_libraries() -> None:
    code = (
        "import sys; from pytest_llmdbench.capacity.main import main; "
        "main(['check', 'Qwen/Qwen3-8B', '--gpu', 'h100']); "
        "print(sorted({'numpy', 'pandas', 'plotly', 'torch', 'kubernetes'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
