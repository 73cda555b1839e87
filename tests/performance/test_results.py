"""What recorded results cost to read and to report, and whether memory stays flat however many requests there were."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from pytest_llmdbench.results.benchmark_report import write
from pytest_llmdbench.results.frame import frame
from pytest_llmdbench.results.recorded import find_recorded
from pytest_llmdbench.results.result import Distribution, Result, Stage
from pytest_llmdbench.results.store import write_result
from tests.results.recorded_runs import measured, record

pytestmark = pytest.mark.performance

RUNS: Final = 1000
#: Stacks that the recorded runs ran on.
STACKS: Final = 10
GOAL_S: Final = 0.010
FEW, MANY = 10_000, 1_000_000
#: Bytes that a request more may take: one column of numbers is 8, what a file notes of its pieces some more.
GOAL_BYTES: Final = 24
#: Events of one answer in the generated files.
EVENTS: Final = 8


def test_a_thousand_recorded_runs_are_read_and_reported_in_ten_milliseconds_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = {"outcome": "PASS", "reason": "1 objective met", "objectives": []}
    first = record(tmp_path / "first", measured(), verdict=verdict, factors={"rate": 5})
    runs = [another(first, tmp_path / "results" / f"{number:03}", number) for number in range(RUNS)]
    frame(first)  # what is imported is imported
    write(first)
    began = time.process_time()
    assert len(find_recorded(tmp_path / "results")) == RUNS
    found = (time.process_time() - began) / RUNS
    began = time.process_time()
    table = frame(tmp_path / "results")
    parsed = (time.process_time() - began) / RUNS
    assert len(table) == RUNS * 3
    began = time.process_time()
    for run in runs:
        assert len(write(run)) == 2
    reported = (time.process_time() - began) / RUNS
    with capsys.disabled():
        print(f"\n{RUNS} recorded runs of 2 stages on {STACKS} stacks, CPU a run: found {found * 1000:.2f} ms")
        print(f"into one table {parsed * 1000:.2f} ms")
        print(f"as Benchmark Reports (2 files) {reported * 1000:.2f} ms")
        print(f"together {(found + parsed + reported) * 1000:.2f} ms, goal {GOAL_S * 1000:.0f} ms")


def another(first: Path, folder: Path, number: int) -> Path:
    """A run of another load, on the next stack after every hundred; no time of it is that of another run."""
    shutil.copytree(first, folder)
    write_result(folder, slower(measured(), 1 + number / RUNS))
    stack = number * STACKS // RUNS
    for name, old, new in (
        ("case.json", '"rate": 5', f'"rate": {number}'),
        ("workload.yaml", "type: constant", f"type: constant\n  rate: {number}"),
        ("scenario.yaml", "seed: 0", f"seed: {stack}"),
    ):
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    return folder


def slower(result: Result, times: float) -> Result:
    """The same run with longer times."""

    def longer(one: Distribution) -> Distribution:
        bounds = [(value or 0.0) * times for value in (one.mean, one.minimum, one.maximum)]
        return Distribution(
            bounds[0], bounds[1], bounds[2], {at: value * times for at, value in one.percentiles.items()}
        )

    def stage(one: Stage) -> Stage:
        return replace(one, latencies={name: longer(time) for name, time in one.latencies.items()})

    return replace(result, whole=stage(result.whole), stages=tuple(map(stage, result.stages)))


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
    more = (peaks[MANY]["peak_mib"] - peaks[FEW]["peak_mib"]) * 2**20 / (MANY - FEW)
    with capsys.disabled():
        for number, told in peaks.items():
            print(
                f"\nreading {number:,} single requests: peak {told['peak_mib']:.0f} MiB, of it {told['base_mib']:.0f} "
                f"before reading; {told['cpu_s']:.1f} CPU-s ({told['cpu_s'] / number * 1e6:.0f} us a request)",
                end="",
            )
        print(f"\n{more:.0f} bytes for each request more, at most {GOAL_BYTES}")
    assert more <= GOAL_BYTES


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
    chance = random.Random(number)
    with (folder / "per_request_lifecycle_metrics.json").open("w") as file:
        for index in range(number):
            file.write("[\n" if not index else ",\n")
            file.write(json.dumps(request(index, chance)))
        file.write("\n]\n")


def request(index: int, chance: random.Random) -> dict[str, Any]:
    """One request as inference-perf writes it; no latency is like another, for those would take next to no room."""
    start = 1000 + index / 1000
    gaps = (0.05, *(0.01 for _ in range(1, EVENTS)))
    times = list(accumulate((gap * (1 + chance.random()) for gap in gaps), initial=start))[1:]
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
    """The most memory that this process has had, in MiB; what getrusage tells begins with that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]))
