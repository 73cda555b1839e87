"""The real inference-perf, in both versions, against the simulator: installs about 640 MB a version on first use."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.harnesses import inference_perf_keys
from pytest_llmdbench.harnesses.inference_perf import InferencePerf
from tests.harnesses.inference_perf_runs import Counted, profile, run, simulator

pytestmark = pytest.mark.harness

RANDOM = {
    "type": "random",
    "input_distribution": {"min": 20, "max": 600, "mean": 300, "std_dev": 100},
    "output_distribution": {"min": 10, "max": 40, "mean": 24, "std_dev": 10},
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


@pytest.fixture(scope="module", params=["0.7.0", pytest.param("0.6.1", marks=pytest.mark.thorough)])
def program(request: pytest.FixtureRequest) -> InferencePerf:
    """inference-perf in one version, installed."""
    one = InferencePerf(request.param)
    one.prepare(print)
    return one


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A simulator."""
    with simulator(tmp_path) as one:
        yield one


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
    program: InferencePerf, url: str, tmp_path: Path, told: dict[str, Any]
) -> None:
    launched, result, lines = run(program, told, url, tmp_path / "case")
    whole, planned = result.whole, program.stages(told)
    assert launched.exit_code == 0
    assert result.harness_version == program.version
    assert [stage.requests.completed for stage in result.stages] == [stage.requests for stage in planned]
    assert whole.requests.offered == whole.requests.completed
    assert Counted(whole.requests.completed, whole.prompt_tokens or 0, whole.output_tokens or 0) == Counted.at(url)
    assert any("requests done" in line for line in lines)
    summary = json.loads((tmp_path / "case" / "summary_lifecycle_metrics.json").read_text(encoding="utf-8"))
    assert summary["successes"]["latency"]["time_to_first_token"]["mean"] == pytest.approx(whole.latencies["ttft"].mean)


def test_lengths_that_were_asked_for_are_exact(program: InferencePerf, url: str, tmp_path: Path) -> None:
    told = profile("concurrent", [{"concurrency_level": 2, "num_requests": 10}], SHARED)
    _, result, _ = run(program, told, url, tmp_path / "case")
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


def test_errors_and_streams_cut_midway_are_failures_by_kind(program: InferencePerf, tmp_path: Path) -> None:
    stages = [{"concurrency_level": 4, "num_requests": 30}, {"concurrency_level": 8, "num_requests": 30}]
    with simulator(tmp_path, faults={"cut_rate": 0.2, "error_rate": 0.1}) as url:
        _, result, _ = run(program, profile("concurrent", stages, RANDOM), url, tmp_path / "case")
        answered = Counted.at(url).answers
    assert [stage.requests.offered for stage in result.stages] == [30, 30]
    assert set(result.whole.requests.failed) == {"500 - Internal Server Error", "clientpayloaderror"}
    assert result.whole.requests.completed == answered == 60 - result.whole.requests.failures
    assert result.whole.latencies["e2e"].count == answered


def test_the_keys_here_are_those_of_the_program(program: InferencePerf) -> None:
    shipped = json.loads(Path(inference_perf_keys.__file__).with_suffix(".json").read_text(encoding="utf-8"))
    ran = subprocess.run(
        [program.environment.program("python"), Path(__file__).with_name("inference_perf_schema.py")],
        env=os.environ | {"PYTHONPATH": ""},
        capture_output=True,
        check=True,
    )
    told = json.loads(ran.stdout)
    later = inference_perf_keys.SINCE_0_7 if inference_perf_keys.is_0_6(program.version) else {}
    for model, keys in told.items():
        assert set(keys) == set(shipped[model]) - later.get(model, frozenset()), model
    if not later:
        assert told == shipped
