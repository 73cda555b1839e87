"""What vllm bench serve is told, and what it says while it runs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import STDOUT, Command, Place, Progress
from pytest_llmdbench.harnesses.inferencemax import SCRIPT, InferenceMax
from pytest_llmdbench.harnesses.vllm_bench import VllmBench
from pytest_llmdbench.harnesses.vllm_bench_files import RESULTS
from pytest_llmdbench.stacks.spec import Endpoint

PROFILE: dict[str, Any] = {"executable": "benchmark_serving.py", "dataset-name": "random", "num-prompts": 3}
ENDPOINT = Endpoint("http://127.0.0.1:8000", "sim/model", "org/model")


def command(folder: Path, endpoint: Endpoint = ENDPOINT, index: int = 0, **keys: Any) -> Command:
    told = PROFILE | {key.replace("_", "-"): value for key, value in keys.items()}
    place = Place(folder, PurePosixPath(folder), index=index)
    return VllmBench().command(told, endpoint, place)


def flags(of: Command) -> dict[str, str]:
    """Flag -> value of what it is told."""
    assert of.argv[1:3] == ("bench", "serve")
    words = [word.removeprefix("--").partition("=") for word in of.argv[3:]]
    return {flag: value for flag, _, value in words}


def test_what_only_the_run_knows_is_filled_in(tmp_path: Path) -> None:
    told = flags(command(tmp_path))
    assert (told["base-url"], told["model"], told["tokenizer"]) == (ENDPOINT.url, "sim/model", "org/model")
    assert (told["result-dir"], told["result-filename"]) == (str(tmp_path), RESULTS)
    assert {"save-result", "save-detailed", "disable-tqdm"} <= set(told)
    assert told["percentile-metrics"] == "ttft,tpot,itl,e2el"
    assert "executable" not in told


def test_the_program_is_that_of_its_own_environment(tmp_path: Path) -> None:
    program = Path(command(tmp_path).argv[0])
    assert (program.name, program.parent.name) == ("vllm", "bin")
    assert command(tmp_path).env["PYTHONPATH"] == ""


def test_two_runs_send_the_same_and_two_programs_side_by_side_do_not(tmp_path: Path) -> None:
    seeds = [flags(command(tmp_path, index=index))["seed"] for index in (0, 0, 1)]
    assert seeds == ["42", "42", "1042"]
    assert flags(command(tmp_path, index=1, seed=7))["seed"] == "1007"


def test_what_the_profile_says_stays_but_for_what_a_run_fills_in(tmp_path: Path) -> None:
    told = flags(
        command(
            tmp_path,
            model="adapter",
            tokenizer="org/other",
            metric_percentiles="99",
            base_url="http://elsewhere",
            result_filename="result.json",
            port=1,
            append_result="none",
        )
    )
    assert (told["model"], told["tokenizer"], told["metric-percentiles"]) == ("adapter", "org/other", "99")
    assert (told["base-url"], told["result-filename"]) == (ENDPOINT.url, RESULTS)
    assert not {"port", "append-result"} & set(told)


def test_a_profile_that_names_the_model_as_tokenizer_gets_the_models_tokenizer(tmp_path: Path) -> None:
    assert flags(command(tmp_path, model="sim/model", tokenizer="sim/model"))["tokenizer"] == "org/model"


@pytest.mark.parametrize(
    ("backend", "endpoint"),
    [("openai", "/v1/completions"), ("openai-chat", "/v1/chat/completions"), ("openai-responses", "/v1/responses")],
)
def test_a_backend_is_sent_to_where_it_is_understood(tmp_path: Path, backend: str, endpoint: str) -> None:
    assert flags(command(tmp_path, backend=backend))["endpoint"] == endpoint


def test_with_a_local_tokenizer_the_hub_is_not_asked(tmp_path: Path) -> None:
    local = Endpoint(ENDPOINT.url, "sim/model", str(tmp_path))
    assert command(tmp_path, local).env["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in command(tmp_path, local, dataset_name="hf", dataset_path="org/data").env
    assert "HF_HUB_OFFLINE" not in command(tmp_path).env


def test_the_file_of_a_data_set_must_be_there_and_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeclarationError, match=r"no file lines\.jsonl.*--llmd-dataset FILE"):
        command(tmp_path, dataset_name="custom", dataset_path="lines.jsonl")
    (tmp_path / "lines.jsonl").write_text("{}\n", encoding="utf-8")
    told = flags(command(tmp_path, dataset_name="custom", dataset_path="lines.jsonl"))
    assert told["dataset-path"] == str(tmp_path / "lines.jsonl")


def test_in_a_pod_local_files_are_brought_and_paths_are_those_inside(tmp_path: Path) -> None:
    tokenizer, data = tmp_path / "tokenizer", tmp_path / "lines.jsonl"
    tokenizer.mkdir()
    data.write_text("{}\n", encoding="utf-8")
    place = Place(tmp_path, PurePosixPath("/results/0"), programs="path")
    profile = PROFILE | {"dataset-name": "custom", "dataset-path": str(data)}
    made = VllmBench().command(profile, Endpoint("http://svc", "m", str(tokenizer)), place)
    told = flags(made)
    assert made.argv[0] == "vllm"
    assert told["result-dir"] == "/results/0"
    assert told["tokenizer"] == "/results/0/inputs/tokenizer"
    assert told["dataset-path"] == "/results/0/inputs/dataset-path.jsonl"
    assert made.reads == {"inputs/tokenizer": tokenizer, "inputs/dataset-path.jsonl": data}


def test_the_profile_itself_is_not_changed(tmp_path: Path) -> None:
    before = dict(PROFILE)
    command(tmp_path)
    assert before == PROFILE


def test_the_load_has_begun_when_the_program_says_so(tmp_path: Path) -> None:
    look = VllmBench().watch(tmp_path)
    assert look() == Progress()
    (tmp_path / STDOUT).write_text("Skipping endpoint ready check.\n", encoding="utf-8")
    assert look() == Progress()
    (tmp_path / STDOUT).write_text("Starting main benchmark run...\n", encoding="utf-8")
    assert look() == Progress(0)
    (tmp_path / STDOUT).unlink()
    assert look() == Progress(0)


def test_inferencemax_runs_vllms_program_where_there_is_no_script(tmp_path: Path) -> None:
    place = Place.here(tmp_path)
    harness = InferenceMax()
    assert harness.command(PROFILE, ENDPOINT, place) == VllmBench().command(PROFILE, ENDPOINT, place)
    assert not (tmp_path / SCRIPT).exists()


@pytest.mark.parametrize(("text", "detailed"), [("", False), ('add_argument("--save-detailed")', True)])
def test_inferencemax_runs_the_script_that_is_named_with_flags_that_it_has(
    tmp_path: Path, text: str, detailed: bool
) -> None:
    script = tmp_path / "benchmark_serving.py"
    script.write_text(text, encoding="utf-8")
    made = InferenceMax().command(PROFILE | {"executable": str(script)}, ENDPOINT, Place.here(tmp_path))
    assert Path(made.argv[0]).name == "python"
    assert made.argv[1] == str(script)
    assert f"--result-filename={RESULTS}" in made.argv
    assert ("--save-detailed" in made.argv) is detailed


def test_inferencemax_brings_the_script_and_the_modules_beside_it_into_a_pod(tmp_path: Path) -> None:
    script, module = tmp_path / "benchmark_serving.py", tmp_path / "backend_request_func.py"
    for file in (script, module):
        file.write_text("", encoding="utf-8")
    place = Place(tmp_path, PurePosixPath("/results/0"), programs="path")
    made = InferenceMax().command(PROFILE | {"executable": str(script)}, ENDPOINT, place)
    assert made.argv[:2] == ("python", "/results/0/inputs/benchmark_serving.py")
    assert made.reads == {"inputs/benchmark_serving.py": script, "inputs/backend_request_func.py": module}
