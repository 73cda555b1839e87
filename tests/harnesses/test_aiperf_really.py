"""The real aiperf against the simulator: installs about 850 MB on first use."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from pytest_llmdbench.harnesses import aiperf_profile
from pytest_llmdbench.harnesses.aiperf import Aiperf
from pytest_llmdbench.harnesses.harness import Place
from pytest_llmdbench.harnesses.launcher import launch
from pytest_llmdbench.harnesses.progress_line import Outline
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.table import RequestTable
from pytest_llmdbench.stacks.spec import Endpoint
from tests.harnesses.inference_perf_runs import MODEL, simulator

pytestmark = pytest.mark.harness

CHAT = {"endpoint-type": "chat", "streaming": True, "isl": 40, "osl": 32, "extra-inputs": "ignore_eos:true"}
RATE = {**CHAT, "endpoint-type": "completions", "request-rate": 15, "arrival-pattern": "constant", "request-count": 45}
#: How much more than the server a client may see of a mean, in seconds; generous, for other work on the machine.
MORE_S = 0.05


@pytest.fixture(scope="module", params=["0.13.0", pytest.param("0.8.0", marks=pytest.mark.thorough)])
def program(request: pytest.FixtureRequest) -> Aiperf:
    """aiperf, installed."""
    one = Aiperf(request.param)
    one.prepare(print)
    return one


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulator for all runs; each begins a new window of its statistics."""
    with simulator(tmp_path_factory.mktemp("simulator"), ttft=0.05) as one:
        yield one


def post(url: str, path: str, body: dict[str, Any]) -> None:
    told = Request(url + path, json.dumps(body).encode(), {"content-type": "application/json"}, method="POST")
    with urlopen(told) as answer:
        assert answer.status == 200


def run(program: Aiperf, profile: dict[str, Any], url: str, folder: Path, **faults: float) -> tuple[int, Result]:
    """The program's exit code and the result of one run."""
    if url.endswith(":1"):
        assert not faults
    else:
        post(url, "/sim/faults", faults)
        post(url, "/sim/reset", {})
    endpoint = Endpoint(url, MODEL, str(simulator_tokenizer()))
    outline = Outline(program.name, url, len(program.stages(profile)), program.expected_seconds(profile))
    command = program.command(profile, endpoint, Place.here(folder))
    launched = launch(command, outline, timeout_s=180, watch=program.watch(folder), say=print)
    return launched.exit_code, read_run(program, [folder], folder)


def seen(url: str) -> Any:
    """What the simulator saw in the window of the last run."""
    with urlopen(f"{url}/sim/stats") as answer:
        return json.load(answer)


def check_latencies(result: Result, server: Any) -> None:
    """TTFT and TPOT are the server's own and a little more."""
    ttft, tpot = (result.whole.latencies[name].mean for name in ("ttft", "tpot"))
    assert ttft is not None
    assert tpot is not None
    assert 0 <= ttft - server["sent"]["ttft_s"]["mean"] < MORE_S
    assert tpot == pytest.approx(server["sent"]["itl_s"]["mean"], rel=0.15)


def test_a_rate_is_kept_and_the_counts_are_the_servers(program: Aiperf, url: str, tmp_path: Path) -> None:
    code, result = run(program, RATE, url, tmp_path)
    whole, server = result.whole, seen(url)
    assert code == 0
    assert whole.requests.completed == server["requests"]["finished"] == whole.requests.offered == 45
    assert (whole.prompt_tokens, whole.output_tokens) == (server["tokens"]["prompt"], server["tokens"]["output"])
    assert whole.lengths["output"].minimum == whole.lengths["output"].maximum == 32
    assert whole.asked_rate == 15
    assert whole.achieved_rate == pytest.approx(15, rel=0.1)
    assert whole.schedule_lag is not None
    assert set(whole.latencies) == {"ttft", "tpot", "itl", "e2e", "normalized_tpot"}
    check_latencies(result, server)


def test_a_closed_loop_for_a_time_has_its_concurrency(program: Aiperf, url: str, tmp_path: Path) -> None:
    told = {**CHAT, "concurrency": 4, "benchmark-duration": 3, "benchmark-grace-period": 0, "warmup-request-count": 4}
    code, result = run(program, told, url, tmp_path)
    whole, server = result.whole, seen(url)
    assert code == 0
    assert (whole.concurrency, whole.asked_rate, whole.schedule_lag) == (4, None, None)
    # Answers that end as the time is up may be whole for the server, and too late for the program.
    assert 0 <= server["requests"]["finished"] - 4 - whole.requests.completed <= 4
    assert 0 < whole.requests.unfinished <= 4
    check_latencies(result, server)


def test_a_trace_is_replayed_at_its_times_with_its_lengths(program: Aiperf, url: str, tmp_path: Path) -> None:
    trace = [
        {"timestamp": 0, "input_length": 600, "output_length": 8, "hash_ids": [1, 2]},
        {"timestamp": 500, "input_length": 700, "output_length": 9, "hash_ids": [1, 3]},
        {"timestamp": 1500, "input_length": 530, "output_length": 10, "hash_ids": [4, 5]},
    ]
    file, folder = tmp_path / "trace.jsonl", tmp_path / "case"
    folder.mkdir()
    file.write_text("".join(json.dumps(one) + "\n" for one in trace), encoding="utf-8")
    told = {"endpoint-type": "chat", "streaming": True, "custom-dataset-type": "mooncake_trace"}
    code, result = run(program, told | {"input-file": str(file), "concurrency": 2}, url, folder)
    whole, server = result.whole, seen(url)
    assert code == 0
    assert whole.requests.completed == server["requests"]["finished"] == 3
    assert (whole.prompt_tokens, whole.output_tokens) == (600 + 700 + 530, 8 + 9 + 10)
    assert server["tokens"]["cached"] >= 512  # the block that two prompts begin with
    assert (whole.asked_rate, whole.concurrency) == (None, None)
    assert result.table is not None
    sent = sorted(RequestTable(result.table).column("sent"))
    assert [after - before for before, after in pairwise(sent)] == pytest.approx([0.5, 1.0], abs=0.2)


def test_errors_are_counted_one_by_one_and_the_rest_is_measured(program: Aiperf, url: str, tmp_path: Path) -> None:
    code, result = run(program, RATE, url, tmp_path, error_rate=0.3)
    requests, server = result.whole.requests, seen(url)["requests"]
    assert code == 0
    assert requests.completed == server["finished"]
    assert requests.failed == {"500 Internal Server Error": server["errored"]}
    assert (server["errored"] > 0, requests.offered) == (True, 45)
    check_latencies(result, seen(url))


def test_streams_that_were_cut_are_failures(program: Aiperf, url: str, tmp_path: Path) -> None:
    code, result = run(program, RATE, url, tmp_path, cut_rate=0.3)
    requests, server = result.whole.requests, seen(url)["requests"]
    assert code == 0
    assert requests.completed == server["finished"]
    assert requests.failures == server["seen"] - server["finished"] > 0
    assert set(requests.failed) == {"ClientPayloadError"}
    assert requests.offered == 45


def test_a_server_that_is_down_makes_all_requests_fail(program: Aiperf, tmp_path: Path) -> None:
    _, result = run(program, RATE, "http://127.0.0.1:1", tmp_path)
    assert (result.whole.requests.completed, result.whole.requests.failures) == (0, 45)
    assert set(result.whole.requests.failed) == {"ClientConnectorError"}
    assert dict(result.whole.latencies) == {}


def test_the_shipped_flags_are_those_of_the_program(program: Aiperf) -> None:
    shipped = Path(aiperf_profile.__file__).with_name("aiperf_flags.json")
    ran = subprocess.run(
        [program.environment.program("python"), Path(__file__).with_name("aiperf_flags.py")],
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        check=True,
    )
    assert json.loads(shipped.read_text(encoding="utf-8"))[program.version] == json.loads(ran.stdout)
