"""The real guidellm against the simulator: installs about 450 MB on first use, and nothing of PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses import guidellm_keys
from pytest_llmdbench.harnesses.guidellm import Guidellm
from pytest_llmdbench.harnesses.harness import Place
from pytest_llmdbench.harnesses.launcher import Launched, launch
from pytest_llmdbench.harnesses.progress_line import Outline
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.results.result import Distribution, Result
from pytest_llmdbench.stacks.spec import Endpoint
from tests.simulator.conftest import Simulator, end
from tests.simulator.conftest import launch as simulate

pytestmark = pytest.mark.harness

#: A first token after 300 ms and the others every 10 ms: so far apart that no metric can be taken for another.
PACE = {"model": "sim", "ttft": 0.3, "itl": 0.01}
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def profile(load: dict[str, Any], *limits: dict[str, Any], api: str = COMPLETIONS, **data: Any) -> dict[str, Any]:
    prompts = {"kind": "synthetic_text", "prompt_tokens": 40, "output_tokens": 32} | data
    return {
        "spec": {
            "backend": {"request_format": api},
            "profile": load,
            "constraints": list(limits),
            "data": [prompts],
        }
    }


def seconds(value: Any) -> dict[str, Any]:
    return {"kind": "max_duration", "seconds": value}


def count(value: Any) -> dict[str, Any]:
    return {"kind": "max_requests", "count": value}


@pytest.fixture(scope="module")
def program() -> Guidellm:
    """guidellm, installed."""
    one = Guidellm()
    one.prepare(print)
    return one


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulator at a known pace."""
    started = simulate(PACE)
    yield started
    end(started)


@dataclass
class Ran:
    """A run of the program."""

    launched: Launched
    result: Result
    lines: list[str]


def run(program: Guidellm, told: dict[str, Any], url: str, folder: Path) -> Ran:
    lines: list[str] = []
    folder.mkdir()
    endpoint = Endpoint(url, "sim", str(simulator_tokenizer()))
    launched = launch(
        program.command(told, endpoint, Place.here(folder)),
        Outline(program.name, url, len(program.stages(told)), program.expected_seconds(told)),
        timeout_s=240,
        watch=program.watch(folder),
        say=lines.append,
    )
    return Ran(launched, read_run(program, [folder], folder), lines)


def faults(simulator: Simulator, **of: float) -> None:
    assert simulator.ask("POST", "/sim/faults", of).status == 200


def test_rates_are_kept_and_latencies_are_what_the_server_measured(
    program: Guidellm, simulator: Simulator, tmp_path: Path
) -> None:
    told = profile({"kind": "constant", "rate": [4, 8]}, seconds([4, 5]))
    ran = run(program, told, simulator.url, tmp_path / "case")
    first, second = ran.result.stages
    assert (first.asked_rate, second.asked_rate) == (4, 8)
    assert second.achieved_rate == pytest.approx(8, rel=0.05)
    # What is under way when the time is up is ended by the program, and is neither a success nor a failure.
    assert first.requests.offered == pytest.approx(16, abs=2)
    assert second.requests.offered == pytest.approx(40, abs=4)
    assert second.requests.unfinished > 0
    whole = ran.result.whole
    assert whole.requests.failures == 0
    assert whole.schedule_lag is not None
    truth = simulator.stats()
    assert_a_little_above(whole.latencies["ttft"], truth["sent"]["ttft_s"], 0.06)
    assert_a_little_above(whole.latencies["tpot"], truth["sent"]["itl_s"], 0.003)
    assert whole.latencies["e2e"].mean is not None
    assert "itl" not in whole.latencies
    assert whole.lengths["prompt"].minimum == whole.lengths["prompt"].maximum == 40
    assert whole.lengths["output"].minimum == whole.lengths["output"].maximum == 32
    assert whole.tokens_per_event == pytest.approx(1)
    assert any("stage 2/2" in line for line in ran.lines)


def assert_a_little_above(measured: Distribution, truth: dict[str, float], most: float) -> None:
    """Whether a median is what the server saw itself, and what a busy machine may add to it."""
    median = measured.statistic("median")
    assert median is not None
    assert -0.001 <= median - truth["p50"] <= most


@pytest.mark.thorough
def test_a_fixed_number_of_requests_from_a_fixed_number_of_clients_is_counted_as_the_server_does(
    program: Guidellm, simulator: Simulator, tmp_path: Path
) -> None:
    told = profile({"kind": "concurrent", "streams": [2, 4]}, count([10, 20]), api=CHAT)
    ran = run(program, told, simulator.url, tmp_path / "case")
    assert [stage.concurrency for stage in ran.result.stages] == [2, 4]
    assert [stage.requests.completed for stage in ran.result.stages] == [10, 20]
    whole = ran.result.whole
    assert whole.schedule_lag is None
    assert whole.requests.offered == 30
    assert whole.prompt_tokens == simulator.metric("vllm:prompt_tokens_total")
    assert whole.output_tokens == simulator.metric("vllm:generation_tokens_total") == 30 * 32


def test_conversations_send_what_was_said_before(program: Guidellm, simulator: Simulator, tmp_path: Path) -> None:
    told = profile(
        {"kind": "concurrent", "streams": 2},
        count(12),
        api=CHAT,
        turns=3,
        prefix_buckets=[{"prefix_tokens": 100, "prefix_count": 2}],
    )
    whole = run(program, told, simulator.url, tmp_path / "case").result.whole
    assert whole.requests.completed == 12
    assert whole.prompt_tokens == simulator.metric("vllm:prompt_tokens_total")
    # The third turn holds two answers of 32 tokens.
    prompts = whole.lengths["prompt"]
    assert prompts.minimum is not None
    assert prompts.maximum is not None
    assert prompts.maximum >= prompts.minimum + 2 * 32


def test_errors_and_streams_cut_midway_are_failures_of_their_own_kinds(
    program: Guidellm, simulator: Simulator, tmp_path: Path
) -> None:
    faults(simulator, error_rate=0.3, cut_rate=0.3)
    told = profile({"kind": "concurrent", "streams": 4}, count(60))
    ran = run(program, told, simulator.url, tmp_path / "case")
    requests = ran.result.whole.requests
    assert ran.launched.exit_code == 0
    assert set(requests.failed) == {"HTTP 500 Internal Server Error", "RemoteProtocolError"}
    assert requests.offered == 60
    assert requests.completed == simulator.metric('vllm:request_success_total{engine="0",finished_reason="length"')
    assert all(number > 5 for number in requests.failed.values())


@pytest.mark.thorough
def test_a_model_that_is_not_there_makes_all_requests_fail_and_the_program_end_with_0(
    program: Guidellm, simulator: Simulator, tmp_path: Path
) -> None:
    told = profile({"kind": "constant", "rate": 5}, seconds(3))
    told["spec"]["backend"]["model"] = "another"
    ran = run(program, told, simulator.url, tmp_path / "case")
    assert ran.launched.exit_code == 0
    assert ran.result.whole.requests.completed == 0
    assert set(ran.result.whole.requests.failed) == {"HTTP 404 Not Found"}
    assert dict(ran.result.whole.latencies) == {}


@pytest.mark.thorough
def test_a_server_that_is_down_is_an_error_that_says_where_to_look(program: Guidellm, tmp_path: Path) -> None:
    told = profile({"kind": "constant", "rate": 5}, seconds(3))
    with pytest.raises(HarnessError, match=r"guidellm wrote no results\.json.*stderr\.log"):
        run(program, told, "http://127.0.0.1:1", tmp_path / "case")


@pytest.mark.thorough
def test_the_release_before_is_run_and_read_alike(simulator: Simulator, tmp_path: Path) -> None:
    program = Guidellm("0.7.3")
    program.prepare(print)
    told = profile({"kind": "constant", "rate": 5}, seconds(4))
    ran = run(program, told, simulator.url, tmp_path / "case")
    assert ran.result.harness_version == "0.7.3"
    whole = ran.result.whole
    assert whole.requests.offered == pytest.approx(20, abs=2)
    assert whole.schedule_lag is not None
    assert_a_little_above(whole.latencies["ttft"], simulator.stats()["sent"]["ttft_s"], 0.06)
    # It says nothing of its stages while it runs; what the server counts is told all the same.
    assert any("requests done" in line for line in ran.lines)
    assert not any("stage" in line for line in ran.lines)


@pytest.mark.parametrize("version", ["0.8.1", pytest.param("0.7.3", marks=pytest.mark.thorough)])
def test_the_shipped_keys_are_those_of_the_program(version: str) -> None:
    program = Guidellm(version)
    program.prepare(print)
    shipped = Path(guidellm_keys.__file__).with_name("guidellm_keys.json")
    shim = Path(guidellm_keys.__file__).with_name("torch_shim")
    ran = subprocess.run(
        [program.environment.program("python"), Path(__file__).with_name("guidellm_schema.py")],
        env=os.environ | {"PYTHONPATH": str(shim), "USE_TORCH": "0"},
        capture_output=True,
        check=True,
    )
    assert json.loads(shipped.read_text(encoding="utf-8"))[version] == json.loads(ran.stdout)


@pytest.mark.parametrize("version", ["0.8.1", pytest.param("0.7.3", marks=pytest.mark.thorough)])
def test_nothing_of_pytorch_is_installed(version: str) -> None:
    program = Guidellm(version)
    program.prepare(print)
    packages = {path.name.partition("-")[0] for path in program.environment.folder.glob("lib/*/site-packages/*")}
    assert "guidellm" in packages
    assert not {name for name in packages if name.startswith(("torch", "nvidia", "triton", "cuda"))}
