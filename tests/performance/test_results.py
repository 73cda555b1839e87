"""What recorded results cost to read and to report, and whether memory stays flat however many requests there were."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from pytest_llmdbench.results.benchmark_report import write
from pytest_llmdbench.results.frame import frame
from tests.results.recorded_runs import measured, record

pytestmark = pytest.mark.performance

RUNS: Final = 1000
GOAL_S: Final = 0.010
FEW, MANY = 10_000, 1_000_000
#: Events of one answer in the generated files.
EVENTS: Final = 8


def test_a_thousand_recorded_runs_are_read_and_reported_in_ten_milliseconds_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"outcome": "PASS", "reason": "1 objective met", "objectives": []}
    one = record(tmp_path / "results" / "0", measured(), verdict=verdict, factors={"rate": 5})
    for number in range(1, RUNS):
        shutil.copytree(one, one.with_name(str(number)))
    frame(one)  # what is imported is imported
    write(one)
    began = time.process_time()
    table = frame(tmp_path / "results")
    parsed = (time.process_time() - began) / RUNS
    assert len(table) == RUNS * 3
    began = time.process_time()
    for number in range(RUNS):
        assert len(write(tmp_path / "results" / str(number))) == 2
    reported = (time.process_time() - began) / RUNS
    with capsys.disabled():
        print(f"\n{RUNS} recorded runs of 2 stages, CPU a run: into one table {parsed * 1000:.2f} ms")
        print(f"as Benchmark Reports (2 files) {reported * 1000:.2f} ms")
        print(f"together {(parsed + reported) * 1000:.2f} ms, goal {GOAL_S * 1000:.0f} ms")


def test_a_million_requests_take_hardly_more_memory_than_ten_thousand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peaks = {}
    for number in (FEW, MANY):
        folder = tmp_path / str(number)
        generate(folder, number)
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, str(folder)], stdout=subprocess.PIPE, check=True, timeout=1800
        )
        told = json.loads(done.stdout)
        assert told["completed"] == number
        peaks[number] = told
        shutil.rmtree(folder)
    with capsys.disabled():
        for number, told in peaks.items():
            print(
                f"\nreading {number:,} single requests: peak {told['peak_mib']:.0f} MiB, of it {told['base_mib']:.0f} "
                f"before reading; {told['cpu_s']:.1f} CPU-s ({told['cpu_s'] / number * 1e6:.0f} us a request)",
                end="",
            )
        print()


def generate(folder: Path, number: int) -> None:
    """Files of inference-perf with so many requests in one stage, written piece by piece."""
    folder.mkdir()
    tokens = {"mean": 32.0, "total": 32 * number}
    summary: dict[str, Any] = {
        "benchmark_time_seconds": number / 1000,
        "load_summary": {"count": number, "requested_rate": 1000.0, "achieved_rate": 1000.0},
        "successes": {"count": number, "prompt_tokens": tokens, "output_tokens": {"mean": 8.0, "total": 8 * number}},
        "failures": {"count": 0},
    }
    for name in ("summary", "stage_0"):
        (folder / f"{name}_lifecycle_metrics.json").write_text(json.dumps(summary))
    stage = {"rate": 1000, "duration": number // 1000}
    (folder / "config.yaml").write_text(yaml.safe_dump({"load": {"stages": [stage]}, "data": {"trace": None}}))
    with (folder / "per_request_lifecycle_metrics.json").open("w") as file:
        for index in range(number):
            file.write("[\n" if not index else ",\n")
            file.write(json.dumps(request(index)))
        file.write("\n]\n")


def request(index: int) -> dict[str, Any]:
    """One request as inference-perf writes it, some latency or other."""
    start = 1000 + index / 1000
    first = start + 0.05 + index % 97 / 10_000
    times = [first + event * (0.01 + index % 13 / 10_000) for event in range(EVENTS)]
    response = {"output_token_times": times, "output_tokens": EVENTS, "server_usage": {"completion_tokens": EVENTS}}
    return {
        "start_time": start,
        "end_time": times[-1],
        "info": {"request_metrics": {"text": {"input_tokens": 32}}, "response_metrics": response},
        "error": None,
    }


def main(folder: Path) -> None:
    """Read the files in a folder into a table of single requests, and tell what that took."""
    import numpy  # noqa: F401 - imports are not what is measured
    import pyarrow.parquet  # noqa: F401

    from pytest_llmdbench.harnesses.inference_perf import InferencePerf
    from pytest_llmdbench.harnesses.reading import read_run

    base, began = peak_mib(), time.process_time()
    result = read_run(InferencePerf(), [folder], folder)
    print(
        json.dumps(
            {
                "completed": result.whole.requests.completed,
                "base_mib": base,
                "peak_mib": peak_mib(),
                "cpu_s": time.process_time() - began,
            }
        )
    )


def peak_mib() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
