"""Results made from single requests: those of one program equal its own summary, those of two equal the union's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import CLOCK
from pytest_llmdbench.harnesses.inference_perf_files import read
from pytest_llmdbench.harnesses.inference_perf_requests import PER_REQUEST, merge, percentile
from pytest_llmdbench.results.result import Distribution, Stage

SAMPLES = Path(__file__).parents[1] / "data" / "inference-perf"
VERSION = "0.7.0"


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """The files of two programs: a good run, and a copy of it that was a little slower and began a little later."""
    first = Path(shutil.copytree(SAMPLES / "constant", tmp_path / "pod-0"))
    second = Path(shutil.copytree(SAMPLES / "constant", tmp_path / "pod-1"))

    def slower(requests: Any) -> None:
        for number, one in enumerate(requests):
            one["start_time"] += 0.5
            late = 0.5 + 0.0001 * number
            one["end_time"] += late
            times = one["info"]["response_metrics"]["output_token_times"]
            one["info"]["response_metrics"]["output_token_times"] = [time + late for time in times]

    edit(second / PER_REQUEST, slower)
    return first, second


def edit(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def assert_same(made: Distribution | None, told: Distribution | None) -> None:
    assert made is not None
    assert told is not None
    assert (made.mean, made.minimum, made.maximum) == pytest.approx((told.mean, told.minimum, told.maximum), rel=1e-9)
    assert dict(made.percentiles) == pytest.approx(dict(told.percentiles), rel=1e-9)


def assert_same_stage(made: Stage, told: Stage) -> None:
    assert made.requests == told.requests
    for name in (
        "duration_s", "asked_rate", "achieved_rate", "concurrency", "prompt_tokens", "output_tokens",
        "prompt_tokens_per_second", "output_tokens_per_second", "requests_per_second",
    ):  # fmt: skip
        value = getattr(told, name)
        assert getattr(made, name) == (value if value is None else pytest.approx(value, rel=1e-9)), name
    assert set(made.latencies) == set(told.latencies)
    for name, distribution in told.latencies.items():
        assert_same(made.latencies[name], distribution)
    assert set(made.lengths) == set(told.lengths)
    for name, distribution in told.lengths.items():
        assert_same(made.lengths[name], distribution)
    assert_same(made.schedule_lag, told.schedule_lag)


@pytest.mark.parametrize("case", ["constant", "fail-500-30pct"])
def test_the_requests_of_one_program_come_to_what_its_own_summary_says(case: str) -> None:
    made, told = merge([SAMPLES / case], VERSION), read(SAMPLES / case, VERSION)
    assert len(made.stages) == len(told.stages)
    for one, other in zip((made.whole, *made.stages), (told.whole, *told.stages), strict=True):
        assert_same_stage(one, other)


def test_two_programs_come_to_what_the_union_of_their_requests_comes_to(two: tuple[Path, Path]) -> None:
    entries = [one for folder in two for one in json.loads((folder / PER_REQUEST).read_text(encoding="utf-8"))]
    first = [one["info"]["response_metrics"]["output_token_times"][0] - one["start_time"] for one in entries]
    window = max(one["end_time"] for one in entries) - min(one["start_time"] for one in entries)
    whole = merge(two, VERSION).whole
    assert whole.requests.completed == len(entries) == 300
    assert whole.duration_s == pytest.approx(window)
    assert whole.requests_per_second == pytest.approx(300 / window)
    assert whole.output_tokens_per_second == pytest.approx(300 * 32 / window)
    assert (whole.prompt_tokens, whole.output_tokens) == (2 * 6404, 2 * 4800)
    assert whole.latencies["ttft"].mean == pytest.approx(sum(first) / 300)
    assert whole.latencies["ttft"].maximum == pytest.approx(max(first))
    assert whole.latencies["ttft"].statistic("p90") == pytest.approx(percentile(sorted(first), 90))


def test_each_stage_is_the_union_of_the_programs_same_stage(two: tuple[Path, Path]) -> None:
    stages = merge(two, VERSION).stages
    assert [stage.requests.completed for stage in stages] == [100, 200]
    assert [stage.asked_rate for stage in stages] == [10.0, 20.0]
    assert stages[1].achieved_rate == pytest.approx(20, rel=0.06)


def test_one_programs_lag_does_not_hide_behind_anothers(two: tuple[Path, Path]) -> None:
    def late(summary: Any) -> None:
        lag = summary["load_summary"]["schedule_delay"]
        summary["load_summary"]["schedule_delay"] = {name: value + 1 for name, value in lag.items()}

    before = read(two[0], VERSION).whole.schedule_lag
    edit(two[1] / "summary_lifecycle_metrics.json", late)
    lag = merge(two, VERSION).whole.schedule_lag
    assert lag is not None
    assert before is not None
    assert before.mean is not None
    assert lag.mean == pytest.approx(before.mean + 0.5)
    assert lag.minimum == before.minimum
    assert lag.percentiles[99.0] == pytest.approx(before.percentiles[99.0] + 1)


def test_failures_of_all_programs_are_added_up_by_kind() -> None:
    folder = SAMPLES / "fail-500-30pct"
    assert merge([folder, folder], VERSION).whole.requests.failed == {"500 - Internal Server Error": 36}


def test_times_of_machines_whose_clocks_began_apart_are_brought_together(two: tuple[Path, Path]) -> None:
    def rebooted(requests: Any) -> None:
        for one in requests:
            for key in ("start_time", "end_time"):
                one[key] -= 1000
            times = one["info"]["response_metrics"]["output_token_times"]
            one["info"]["response_metrics"]["output_token_times"] = [time - 1000 for time in times]

    before = merge(two, VERSION).whole
    edit(two[1] / PER_REQUEST, rebooted)
    (two[0] / CLOCK).write_text("1700000000.25\n", encoding="utf-8")
    (two[1] / CLOCK).write_text("1700001000.25\n", encoding="utf-8")
    after = merge(two, VERSION).whole
    assert after.duration_s == pytest.approx(before.duration_s, abs=1e-5)
    assert after.latencies["ttft"].mean == pytest.approx(before.latencies["ttft"].mean)


def test_requests_that_contradict_the_summary_are_no_result(two: tuple[Path, Path]) -> None:
    edit(two[1] / PER_REQUEST, lambda requests: requests.pop())
    with pytest.raises(HarnessError, match=r"pod-1.*holds 99 requests of stage 1.*counts 100"):
        merge(two, VERSION)


def test_a_failure_that_the_stage_did_not_count_is_no_result(two: tuple[Path, Path]) -> None:
    edit(two[0] / PER_REQUEST, lambda requests: requests[0].update(error={"error_type": "x", "error_msg": "y"}))
    with pytest.raises(HarnessError, match=r"1 of them failed"):
        merge(two, VERSION)


def test_without_single_requests_several_programs_cannot_be_merged(two: tuple[Path, Path]) -> None:
    (two[0] / PER_REQUEST).unlink()
    with pytest.raises(HarnessError, match=r"wrote no per_request.*load\.parallelism: 1"):
        merge(two, VERSION)


@pytest.mark.parametrize("text", ["", "[1]", "{}x", '[{"start_time": 1, "end_time": 2, "info": null, "error": null}]'])
def test_spoilt_requests_name_their_file(two: tuple[Path, Path], text: str) -> None:
    (two[0] / PER_REQUEST).write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=r"per_request_lifecycle_metrics\.json"):
        merge(two, VERSION)


def test_percentiles_are_linear_between_neighbours() -> None:
    assert percentile([1.0, 2.0, 4.0], 50) == 2.0
    assert percentile([1.0, 2.0, 4.0], 75) == 3.0
    assert percentile([7.0], 99.9) == 7.0
