"""How aiperf is started: the flags of a profile, what the run fills in, and the files it needs where it runs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.aiperf import Aiperf
from pytest_llmdbench.harnesses.harness import Command, Place
from pytest_llmdbench.stacks.spec import Endpoint

ENDPOINT = Endpoint("http://127.0.0.1:9", "org/model", "org/tokenizer")


def command(folder: Path, profile: dict[str, Any], endpoint: Endpoint = ENDPOINT, **place: Any) -> Command:
    inside = PurePosixPath("/workspace") if place else PurePosixPath(folder)
    return Aiperf().command(profile, endpoint, Place(folder, inside, **place))


def flags(made: Command) -> list[str]:
    return list(made.argv[2:])


def test_what_only_the_run_knows_is_filled_in(tmp_path: Path) -> None:
    made = command(tmp_path, {"concurrency": 4, "url": "http://elsewhere", "ui": "dashboard"})
    assert made.argv[0].endswith("/bin/aiperf")
    assert made.argv[1] == "profile"
    assert {
        "--url=http://127.0.0.1:9",
        "--model-names=org/model",
        "--tokenizer=org/tokenizer",
        f"--output-artifact-dir={tmp_path}",
        "--ui-type=none",
        "--no-gpu-telemetry",
        "--no-server-metrics",
        "--use-server-token-count",
        "--concurrency=4",
    } < set(flags(made))
    assert not [flag for flag in flags(made) if "elsewhere" in flag or "dashboard" in flag]


def test_a_bare_flag_is_said_as_in_upstreams_profiles_or_as_true(tmp_path: Path) -> None:
    made = flags(command(tmp_path, {"streaming": "none", "verbose": True, "extra-verbose": False, "isl": None}))
    assert {"--streaming", "--verbose"} < set(made)
    assert not [flag for flag in made if flag.startswith(("--extra-verbose", "--prompt-input"))]


def test_a_list_is_a_flag_for_each_of_its_values(tmp_path: Path) -> None:
    made = flags(command(tmp_path, {"extra-inputs": ["ignore_eos:true", "temperature:0"]}))
    assert {"--extra-inputs=ignore_eos:true", "--extra-inputs=temperature:0"} < set(made)


def test_a_profile_may_name_its_own_model_tokenizer_and_seed(tmp_path: Path) -> None:
    made = flags(command(tmp_path, {"model": "lora", "tokenizer": "other", "random-seed": 7}))
    assert {"--model-names=lora", "--tokenizer=other", "--random-seed=7"} < set(made)


def test_the_models_name_as_a_tokenizer_means_the_tokenizer_of_the_stack(tmp_path: Path) -> None:
    assert "--tokenizer=org/tokenizer" in flags(command(tmp_path, {"tokenizer": "org/model"}))


def test_programs_side_by_side_send_different_prompts(tmp_path: Path) -> None:
    seeds = {index: flags(command(tmp_path, {}, programs="path", index=index)) for index in (0, 1)}
    assert "--random-seed=42" in seeds[0]
    assert "--random-seed=1042" in seeds[1]


def test_a_tokenizer_in_a_folder_needs_the_offline_mode_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    local = Endpoint("http://127.0.0.1:9", "sim", str(tmp_path))
    assert command(tmp_path, {}, local).env["HF_HUB_OFFLINE"] == ""
    assert command(tmp_path, {}, local).env["TRANSFORMERS_OFFLINE"] == ""
    assert "HF_HUB_OFFLINE" not in command(tmp_path, {}).env


def test_local_files_are_brought_along_into_a_pod(tmp_path: Path) -> None:
    tokenizer, trace = tmp_path / "tok", tmp_path / "trace.jsonl"
    tokenizer.mkdir()
    trace.write_text("{}\n", encoding="utf-8")
    made = command(
        tmp_path,
        {"input-file": str(trace), "custom-dataset-type": "mooncake_trace"},
        Endpoint("http://stack", "sim", str(tokenizer)),
        programs="path",
    )
    assert made.argv[0] == "aiperf"
    assert made.reads == {"inputs/tokenizer": tokenizer, "inputs/input-file.jsonl": trace}
    assert {
        "--tokenizer=/workspace/inputs/tokenizer",
        "--input-file=/workspace/inputs/input-file.jsonl",
        "--output-artifact-dir=/workspace",
    } < set(flags(made))


def test_a_file_beside_the_caller_is_found_from_the_programs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trace.jsonl").write_text("{}\n", encoding="utf-8")
    assert f"--input-file={tmp_path / 'trace.jsonl'}" in flags(command(tmp_path, {"input-file": "trace.jsonl"}))


def test_a_data_set_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"'input-file': there is no file .*nowhere\.jsonl"):
        command(tmp_path, {"input-file": str(tmp_path / "nowhere.jsonl")})


def test_progress_is_the_load_under_way_and_the_requests_that_failed(tmp_path: Path) -> None:
    look = Aiperf().watch(tmp_path)
    assert (look().stage, look().failed) == (None, 0)
    log, requests = tmp_path / "stdout.log", tmp_path / "profile_export.jsonl"
    log.write_text("09:00:00 NOTICE   Phase warmup started | target: 3\n", encoding="utf-8")
    assert look().stage is None
    with log.open("a", encoding="utf-8") as file:
        file.write("09:00:01 NOTICE   Phase profiling (profiling) started | phase_index=0\n")
    requests.write_text(
        '{"metrics":{},"error":{"code":500}}\n{"metrics":{"a":1}}\n{"metrics":{},"err', encoding="utf-8"
    )
    assert (look().stage, look().failed) == (0, 1)
    with requests.open("a", encoding="utf-8") as file:
        file.write('or":{"code":404}}\n{"metrics":{},"error":{"code":499,"type":"RequestCancellationError"}}\n')
    assert look().failed == 2
