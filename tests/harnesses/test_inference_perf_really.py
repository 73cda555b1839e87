"""The real inference-perf against the simulator: installs about 640 MB on first use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from pytest_llmdbench.harnesses import inference_perf_profile
from pytest_llmdbench.harnesses.harness import Place
from pytest_llmdbench.harnesses.inference_perf import InferencePerf
from pytest_llmdbench.harnesses.launcher import Launched, launch
from pytest_llmdbench.harnesses.progress_line import Outline
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.stacks.spec import Endpoint

pytestmark = pytest.mark.harness

OUTPUT = {"min": 10, "max": 40, "mean": 24, "std_dev": 10}


def profile(kind: str, stages: list[dict[str, Any]], data: dict[str, Any], api: str = "completion") -> dict[str, Any]:
    return {
        "api": {"type": api, "streaming": True},
        "load": {"type": kind, "interval": 0, "stages": stages, "request_timeout": 30},
        "data": data,
    }


RANDOM = {
    "type": "random",
    "input_distribution": {"min": 20, "max": 600, "mean": 300, "std_dev": 100},
    "output_distribution": OUTPUT,
}
SHARED = {
    "type": "shared_prefix",
    "shared_prefix": {
        "num_groups": 2,
        "num_prompts_per_group": 5,
        "system_prompt_len": 200,
        "question_len": 30,
        "output_len": 12,
    },
}


@pytest.fixture(scope="module")
def program() -> InferencePerf:
    """inference-perf, installed."""
    one = InferencePerf()
    one.prepare(print)
    return one


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[str]:
    """The URL of a simulator of the model ``sim`` on a port of its own."""
    command = [sys.executable, "-m", "pytest_llmdbench.simulator", "--model", "sim"]
    # The port comes through a file: a pipe could fill up, and reading it here could wait for ever.
    said = tmp_path / "simulator.log"
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdout=output)
    try:
        deadline = time.monotonic() + 20
        while not said.read_bytes().endswith(b"\n"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield json.loads(said.read_text(encoding="utf-8").splitlines()[0])["url"]
    finally:
        process.terminate()
        process.wait(10)


def run(program: InferencePerf, told: dict[str, Any], url: str, folder: Path) -> tuple[Launched, Result, list[str]]:
    lines: list[str] = []
    folder.mkdir()
    endpoint = Endpoint(url, "sim", str(simulator_tokenizer()))
    launched = launch(
        program.command(told, endpoint, Place.here(folder)),
        Outline(program.name, url, len(program.stages(told)), program.expected_seconds(told)),
        timeout_s=120,
        watch=program.watch(folder),
        say=lines.append,
    )
    return launched, program.read(folder), lines


def metric(url: str, name: str) -> int:
    """The sum of a counter of the simulator."""
    with urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))))


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(
            profile("constant", [{"rate": 5, "duration": 4}, {"rate": 10, "duration": 5}], RANDOM), id="random-rates"
        ),
        pytest.param(profile("concurrent", [{"concurrency_level": 4, "num_requests": 40}], SHARED), id="shared-closed"),
    ],
)
def test_the_result_is_what_the_server_counted(
    program: InferencePerf, simulator: str, tmp_path: Path, told: dict[str, Any]
) -> None:
    launched, result, lines = run(program, told, simulator, tmp_path / "case")
    whole = result.whole
    assert launched.exit_code == 0
    assert whole.requests.offered == sum(stage.requests or 0 for stage in program.stages(told))
    assert whole.requests.completed == metric(simulator, "vllm:request_success_total") == whole.requests.offered
    assert whole.prompt_tokens == metric(simulator, "vllm:prompt_tokens_total")
    assert whole.output_tokens == metric(simulator, "vllm:generation_tokens_total")
    assert any("requests done" in line for line in lines)
    summary = json.loads((tmp_path / "case" / "summary_lifecycle_metrics.json").read_text(encoding="utf-8"))
    assert summary["successes"]["token_count_mismatches"] == 0
    assert summary["successes"]["output_len"]["mean"] == pytest.approx(summary["successes"]["output_tokens"]["mean"])


def test_lengths_that_were_asked_for_are_exact(program: InferencePerf, simulator: str, tmp_path: Path) -> None:
    told = profile("concurrent", [{"concurrency_level": 2, "num_requests": 10}], SHARED)
    _, result, _ = run(program, told, simulator, tmp_path / "case")
    prompt, output = result.whole.lengths["prompt"], result.whole.lengths["output"]
    assert (prompt.minimum, prompt.maximum) == (230, 230)
    assert (output.minimum, output.maximum) == (12, 12)


def test_a_server_that_is_down_makes_all_requests_fail_and_the_program_end_with_0(
    program: InferencePerf, tmp_path: Path
) -> None:
    told = profile("constant", [{"rate": 5, "duration": 2}], RANDOM)
    launched, result, lines = run(program, told, "http://127.0.0.1:1", tmp_path / "case")
    assert launched.exit_code == 0
    assert (result.whole.requests.completed, result.whole.requests.failures) == (0, 10)
    assert dict(result.whole.latencies) == {}
    assert not any("requests done" in line for line in lines)


def test_the_shipped_keys_are_those_of_the_program(program: InferencePerf) -> None:
    shipped = Path(inference_perf_profile.__file__).with_name("inference_perf_keys.json")
    ran = subprocess.run(
        [program.environment.program("python"), Path(__file__).with_name("inference_perf_schema.py")],
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        check=True,
    )
    assert json.loads(shipped.read_text(encoding="utf-8")) == json.loads(ran.stdout)
