"""What inference-perf is told, and what it says while it runs."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from pytest_llmdbench.errors import DeclarationError, HarnessError
from pytest_llmdbench.harnesses.harness import Place, Progress
from pytest_llmdbench.harnesses.inference_perf import InferencePerf
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.stacks.spec import Endpoint

PROFILE: dict[str, Any] = {
    "load": {"type": "constant", "stages": [{"rate": 60, "duration": 10}]},
    "data": {"type": "shared_prefix", "shared_prefix": {"num_groups": 2}},
}


def told(profile: dict[str, Any], folder: Path, tokenizer: str = "org/model") -> Any:
    """The configuration that the program gets."""
    endpoint = Endpoint("http://127.0.0.1:8000", "sim/model", tokenizer)
    command = InferencePerf().command(profile, endpoint, Place.here(folder))
    assert command.argv[1] == "--config_file"
    return yaml.safe_load(Path(command.argv[2]).read_text(encoding="utf-8"))


def test_what_only_the_run_knows_is_filled_in(tmp_path: Path) -> None:
    config = told(PROFILE, tmp_path)
    assert config["server"] == {"base_url": "http://127.0.0.1:8000", "type": "vllm", "model_name": "sim/model"}
    assert config["tokenizer"] == {"pretrained_model_name_or_path": "org/model"}
    assert config["storage"]["local_storage"] == {"path": str(tmp_path)}


def test_all_reports_are_asked_for_and_tokens_are_those_of_the_server(tmp_path: Path) -> None:
    lifecycle = told(PROFILE | {"report": {"request_lifecycle": {"per_stage": False}}}, tmp_path)["report"][
        "request_lifecycle"
    ]
    assert (lifecycle["summary"], lifecycle["per_stage"], lifecycle["per_request"]) == (True, True, True)
    assert lifecycle["use_server_output_tokens"] is True


def test_an_older_version_is_not_told_what_it_does_not_know(tmp_path: Path) -> None:
    command = InferencePerf("0.6.1").command(PROFILE, Endpoint("http://h", "m", "org/model"), Place.here(tmp_path))
    lifecycle = yaml.safe_load(Path(command.argv[2]).read_text(encoding="utf-8"))["report"]["request_lifecycle"]
    assert "per_request_fields" not in lifecycle
    assert lifecycle["use_server_output_tokens"] is True


def test_a_version_that_is_not_here_is_refused_with_those_that_are() -> None:
    with pytest.raises(DeclarationError, match=r"inference-perf 0\.5\.0 .*0\.6\.1, 0\.7\.0"):
        InferencePerf("0.5.0")


def test_silent_profiles_get_a_seed_and_room_for_their_rate(tmp_path: Path) -> None:
    config = told(PROFILE, tmp_path)
    assert config["load"]["base_seed"] == config["data"]["shared_prefix"]["seed"] == 42
    assert config["load"]["worker_max_concurrency"] == 60 * 60
    assert config["load"]["worker_max_tcp_connections"] == 60 * 60
    assert config["load"]["num_workers"] >= 1


def test_what_the_profile_says_stays(tmp_path: Path) -> None:
    profile = {
        "load": PROFILE["load"] | {"num_workers": 3, "worker_max_concurrency": 7, "base_seed": 1},
        "data": {"type": "shared_prefix", "shared_prefix": {"seed": 9}},
        "server": {"type": "sglang", "model_name": "adapter", "base_url": "http://elsewhere", "ignore_eos": False},
        "tokenizer": {"pretrained_model_name_or_path": "org/other"},
    }
    config = told(profile, tmp_path)
    assert [config["load"][key] for key in ("num_workers", "worker_max_concurrency", "base_seed")] == [3, 7, 1]
    assert config["data"]["shared_prefix"]["seed"] == 9
    assert config["server"]["model_name"] == "adapter"
    assert config["server"]["type"] == "sglang"
    assert config["server"]["base_url"] == "http://127.0.0.1:8000"
    assert config["tokenizer"]["pretrained_model_name_or_path"] == "org/other"


def test_the_profile_itself_is_not_changed(tmp_path: Path) -> None:
    before = yaml.safe_dump(PROFILE)
    told(PROFILE, tmp_path)
    assert yaml.safe_dump(PROFILE) == before


def test_a_profile_that_names_the_model_as_tokenizer_gets_the_model_s_tokenizer(tmp_path: Path) -> None:
    profile = PROFILE | {"tokenizer": {"pretrained_model_name_or_path": "sim/model"}}
    assert told(profile, tmp_path)["tokenizer"]["pretrained_model_name_or_path"] == "org/model"


def test_a_local_tokenizer_needs_no_network(tmp_path: Path) -> None:
    program = InferencePerf()
    local = program.command(PROFILE, Endpoint("http://h", "m", str(tmp_path)), Place.here(tmp_path))
    named = program.command(PROFILE, Endpoint("http://h", "m", "org/model"), Place.here(tmp_path))
    assert local.env["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in named.env


def replay(**source: str) -> dict[str, Any]:
    return {
        "api": {"type": "chat"},
        "load": {"type": "trace_session_replay", "stages": [{"concurrent_sessions": 1}]},
        "data": {"type": "otel_trace_replay", "otel_trace_replay": source},
    }


@pytest.mark.parametrize(
    ("profile", "offline"),
    [
        (replay(trace_directory="/traces"), True),
        (replay(hf_dataset_path="org/traces"), False),
        (PROFILE | {"data": {"type": "shareGPT"}}, False),
        (PROFILE | {"data": {"type": "shareGPT", "path": "/one.json"}}, True),
        (PROFILE | {"data": {"type": "cnn_dailymail"}}, False),
    ],
)
def test_a_data_set_of_the_hub_needs_the_network_even_with_a_local_tokenizer(
    profile: dict[str, Any], offline: bool, tmp_path: Path
) -> None:
    command = InferencePerf().command(profile, Endpoint("http://h", "m", str(tmp_path)), Place.here(tmp_path))
    assert ("HF_HUB_OFFLINE" in command.env) is offline


def test_without_results_a_load_from_the_hub_says_how_to_use_a_local_data_set(tmp_path: Path) -> None:
    endpoint = Endpoint("http://h", "m", "org/model")
    for profile, hinted in ((replay(hf_dataset_path="org/traces"), True), (PROFILE, False)):
        InferencePerf().command(profile, endpoint, Place.here(tmp_path))
        with pytest.raises(HarnessError, match="ended before its results") as caught:
            InferencePerf().read(tmp_path)
        assert ("--llmd-dataset" in str(caught.value)) is hinted


def test_a_profile_that_would_be_refused_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"'load\.stages'"):
        told({"load": {}}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def in_a_pod(tmp_path: Path, tokenizer: str, index: int = 0) -> tuple[Any, Any]:
    """The command of a pod that sees the folder as /workspace, and the configuration that the program gets there."""
    place = Place(tmp_path, PurePosixPath("/workspace"), "path", processors=3, index=index)
    command = InferencePerf().command(PROFILE, Endpoint("http://h", "m", tokenizer), place)
    return command, yaml.safe_load((tmp_path / "inference-perf.yaml").read_text(encoding="utf-8"))


def test_in_a_pod_the_program_is_the_images_and_all_its_paths_are_the_pods(tmp_path: Path) -> None:
    command, config = in_a_pod(tmp_path, "org/model")
    assert list(command.argv) == ["inference-perf", "--config_file", "/workspace/inference-perf.yaml"]
    assert config["storage"]["local_storage"] == {"path": "/workspace"}
    assert config["load"]["num_workers"] == 3
    assert dict(command.reads) == {"inference-perf.yaml": tmp_path / "inference-perf.yaml"}


def test_a_local_tokenizer_is_brought_along_into_the_pod(tmp_path: Path) -> None:
    tokenizer = tmp_path / "my tokenizer"
    tokenizer.mkdir()
    command, config = in_a_pod(tmp_path, str(tokenizer))
    name = "inputs/tokenizer.pretrained_model_name_or_path"
    assert config["tokenizer"]["pretrained_model_name_or_path"] == f"/workspace/{name}"
    assert command.reads[name] == tokenizer
    assert command.env["HF_HUB_OFFLINE"] == "1"


def test_a_local_data_set_is_brought_along_into_the_pod(tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    place = Place(tmp_path, PurePosixPath("/workspace"), "path")
    command = InferencePerf().command(replay(trace_directory=str(traces)), Endpoint("http://h", "m", "m"), place)
    config = yaml.safe_load((tmp_path / "inference-perf.yaml").read_text(encoding="utf-8"))
    name = "inputs/data.otel_trace_replay.trace_directory"
    assert config["data"]["otel_trace_replay"]["trace_directory"] == f"/workspace/{name}"
    assert command.reads[name] == traces


def test_programs_side_by_side_send_other_prompts(tmp_path: Path) -> None:
    _, first = in_a_pod(tmp_path, "org/model")
    _, second = in_a_pod(tmp_path, "org/model", index=1)
    for section, key in (("load", "base_seed"), ("data", "shared_prefix")):
        assert first[section][key] != second[section][key]
    # The seeds after a program's own are those of its workers.
    assert second["load"]["base_seed"] - first["load"]["base_seed"] > 100


def test_progress_is_read_on_from_the_log_as_it_grows(tmp_path: Path) -> None:
    look = InferencePerf().watch(tmp_path)
    assert look() == Progress(None, 0)
    with (tmp_path / "stdout.log").open("ab", buffering=0) as log:
        log.write(
            b"2026-01-01 - load_generator - INFO - Stage 0 - run started\nx - ERROR - Client error during request:\n"
        )
        assert look() == Progress(0, 1)
        log.write(b"x - ERROR - Request timed out:\nx - INFO - Stage 1 - run sta")
        assert look() == Progress(0, 2)
        log.write(b"rted\n")
        assert look() == Progress(1, 2)


def test_harnesses_are_found_by_name_and_others_can_be_added() -> None:
    assert Harnesses()("inference-perf").version == "0.7.0"
    other = InferencePerf()
    other.name = "mine"
    assert Harnesses([other])("mine") is other
    with pytest.raises(DeclarationError, match="did you mean 'inference-perf'"):
        Harnesses()("inferenceperf")
