"""The real vllm bench serve against the simulator: installs about 2.5 GB on first use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from pytest_llmdbench.harnesses import vllm_bench_profile
from pytest_llmdbench.harnesses.harness import Harness, Place
from pytest_llmdbench.harnesses.inferencemax import InferenceMax
from pytest_llmdbench.harnesses.launcher import Launched, launch
from pytest_llmdbench.harnesses.progress_line import Outline
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.harnesses.vllm_bench import VllmBench
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.stacks.spec import Endpoint

pytestmark = pytest.mark.harness

WORKLOADS = Path(__file__).parents[2] / "workloads"
#: How a script of InferenceMAX's kind looks from outside: vLLM's flags, and no word of its own on what it is.
SCRIPT = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = FlexibleArgumentParser()
add_cli_args(parser)  # --save-detailed and all others
main(parser.parse_args())
"""

Simulate = Callable[..., str]


@pytest.fixture(scope="module")
def program() -> VllmBench:
    """vllm bench serve, installed."""
    one = VllmBench()
    one.prepare(print)
    return one


@pytest.fixture
def simulate(tmp_path: Path) -> Iterator[Simulate]:
    """Starts simulators of the model ``sim`` with a configuration, and says their URLs."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**config: Any) -> str:
        told, said = tmp_path / "simulator.json", tmp_path / "simulator.log"
        told.write_text(json.dumps({"model": "sim", **config}), encoding="utf-8")
        command = [sys.executable, "-m", "pytest_llmdbench.simulator", "--config", str(told)]
        # The port comes through a file: a pipe could fill up, and reading it here could wait for ever.
        with said.open("wb") as output:
            process = subprocess.Popen(command, stdout=output)
        started.append(process)
        deadline = time.monotonic() + 20
        while not said.read_bytes().endswith(b"\n"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return str(json.loads(said.read_text(encoding="utf-8").splitlines()[0])["url"])

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


def shipped(name: str, **keys: Any) -> dict[str, Any]:
    """A workload of ours at its quick size, with some keys replaced; underscores stand for dashes."""
    data: dict[str, Any] = yaml.safe_load((WORKLOADS / f"{name}.yaml").read_text(encoding="utf-8"))
    quick: dict[str, Any] = data.pop("llmdbench").get("quick", {})
    return data | quick | {key.replace("_", "-"): value for key, value in keys.items()}


def run(
    harness: Harness, told: dict[str, Any], url: str, folder: Path, model: str = "sim"
) -> tuple[Launched, Result, list[str]]:
    lines: list[str] = []
    folder.mkdir()
    launched = launch(
        harness.command(told, Endpoint(url, model, str(simulator_tokenizer())), Place.here(folder)),
        Outline(harness.name, url, len(harness.stages(told)), harness.expected_seconds(told)),
        timeout_s=300,
        watch=harness.watch(folder),
        say=lines.append,
    )
    return launched, read_run(harness, [folder], folder), lines


def stats(url: str) -> Any:
    """What the simulator itself saw."""
    with urlopen(f"{url}/sim/stats") as answer:
        return json.load(answer)


def assert_as_the_server_saw_it(result: Result, server: Any) -> None:
    """Counts and tokens are equal; nothing is faster than it was sent, and units are right."""
    whole = result.whole
    assert whole.requests.completed == server["requests"]["finished"]
    assert (whole.prompt_tokens, whole.output_tokens) == (server["tokens"]["prompt"], server["tokens"]["output"])
    for name, sent in (("ttft", "ttft_s"), ("e2e", "e2e_s")):
        mean = whole.latencies[name].mean
        assert mean is not None
        assert server["sent"][sent]["mean"] - 0.001 <= mean <= server["sent"][sent]["mean"] + 1
    for name in ("tpot", "itl"):
        assert whole.latencies[name].mean == pytest.approx(server["sent"]["itl_s"]["mean"], rel=0.5)


def test_a_chat_at_a_rate_is_as_the_server_saw_it(program: VllmBench, simulate: Simulate, tmp_path: Path) -> None:
    url = simulate(ttft=0.05, itl=0.01)
    told = shipped("vllm-benchmark/sonnet_concurrent", request_rate=8, num_prompts=40, max_concurrency=None)
    launched, result, lines = run(program, told, url, tmp_path / "case")
    whole = result.whole
    assert launched.exit_code == 0
    assert_as_the_server_saw_it(result, stats(url))
    assert (whole.requests.offered, whole.asked_rate, whole.concurrency) == (40, 8.0, None)
    assert (whole.lengths["output"].minimum, whole.lengths["output"].maximum) == (32, 32)
    # The event with the role is none of a token.
    assert whole.latencies["itl"].count == 40 * 31
    assert whole.tokens_per_event == 1.0
    assert whole.schedule_lag is not None
    assert any("stage 1/1" in line and "requests done" in line for line in lines)


@pytest.mark.thorough
def test_prompts_of_a_file_a_few_at_once_are_as_the_server_saw_them(
    program: VllmBench, simulate: Simulate, tmp_path: Path
) -> None:
    url = simulate(ttft=0.02, itl=0.005, tokens_per_event=3)
    data = tmp_path / "prompts.jsonl"
    asked = [4 + index % 5 for index in range(30)]
    data.write_text(
        "".join(f"{json.dumps({'prompt': 'dasi fono lavo', 'output_tokens': tokens})}\n" for tokens in asked),
        encoding="utf-8",
    )
    told = shipped("vllm-benchmark/fixed_dataset", dataset_path=str(data), num_prompts=30)
    _, result, _ = run(program, told, url, tmp_path / "case")
    whole, server = result.whole, stats(url)
    assert (whole.requests.completed, whole.concurrency, whole.schedule_lag) == (30, 4, None)
    assert whole.output_tokens == sum(asked) == server["tokens"]["output"]
    assert whole.prompt_tokens == server["tokens"]["prompt"]
    # Tokens are counted by the server's usage, not by the pieces that they came in.
    assert whole.tokens_per_event is not None
    assert whole.tokens_per_event > 1.5


def test_errors_and_streams_cut_midway_are_failures_by_kind(
    program: VllmBench, simulate: Simulate, tmp_path: Path
) -> None:
    url = simulate(ttft=0.02, itl=0.005, faults={"error_rate": 0.3, "cut_rate": 0.3})
    data = tmp_path / "sharegpt.json"
    turns = [{"from": "human", "value": "dasi fono lavo " * 3}, {"from": "gpt", "value": "lavo " * 9}]
    data.write_text(json.dumps([{"id": str(index), "conversations": turns} for index in range(60)]), encoding="utf-8")
    told = shipped("vllm-benchmark/sharegpt", dataset_path=str(data), num_prompts=60, request_rate=10)
    launched, result, _ = run(program, told, url, tmp_path / "case")
    whole, server = result.whole, stats(url)
    assert launched.exit_code == 0
    assert whole.requests.offered == 60
    assert whole.requests.completed == server["requests"]["finished"]
    assert set(whole.requests.failed) == {"Internal Server Error", "ClientPayloadError"}
    assert whole.requests.failures == server["requests"]["errored"]
    assert whole.latencies["ttft"].count == whole.requests.completed
    assert whole.lengths["output"].minimum == 32


@pytest.mark.thorough
def test_a_model_that_is_not_there_makes_all_requests_fail_and_the_program_end_with_0(
    program: VllmBench, simulate: Simulate, tmp_path: Path
) -> None:
    told = shipped("vllm-benchmark/sanity_random", num_prompts=5)
    launched, result, _ = run(program, told, simulate(), tmp_path / "case", model="nope")
    assert launched.exit_code == 0
    assert (result.whole.requests.completed, dict(result.whole.requests.failed)) == (0, {"Not Found": 5})
    assert dict(result.whole.latencies) == {}


@pytest.mark.thorough
def test_inferencemax_runs_a_script_of_ones_own_and_says_so(
    program: VllmBench, simulate: Simulate, tmp_path: Path
) -> None:
    script = tmp_path / "my_serving.py"
    script.write_text(SCRIPT, encoding="utf-8")
    url = simulate(ttft=0.02, itl=0.005)
    told = shipped("inferencemax/random_concurrent", executable=str(script), max_concurrency=4, num_prompts=16)
    assert program.environment.ready()
    _, result, _ = run(InferenceMax(), told, url, tmp_path / "case")
    assert_as_the_server_saw_it(result, stats(url))
    assert (result.harness, result.harness_version) == ("inferencemax", "my_serving.py")
    assert (result.whole.requests.completed, result.whole.concurrency) == (16, 4)


@pytest.mark.thorough
def test_inferencemax_runs_vllms_own_program_elsewhere_and_says_so(
    program: VllmBench, simulate: Simulate, tmp_path: Path
) -> None:
    told = shipped("inferencemax/sanity_random", num_prompts=3, random_output_len=8)
    _, result, _ = run(InferenceMax(), told, simulate(), tmp_path / "case")
    assert result.harness_version == f"vllm bench serve {program.version}"
    assert result.whole.requests.completed == 3
    assert result.whole.output_tokens == 24


@pytest.mark.thorough
def test_the_shipped_flags_are_those_of_the_program(program: VllmBench) -> None:
    flags = Path(vllm_bench_profile.__file__).with_name("vllm_bench_flags.json")
    ran = subprocess.run(
        [program.environment.program("python"), Path(__file__).with_name("vllm_bench_flags.py")],
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        check=True,
    )
    assert json.loads(flags.read_text(encoding="utf-8")) == json.loads(ran.stdout)
