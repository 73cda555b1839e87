"""Results made from single requests: those of one program equal its own summary, those of two equal the union's."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import CLOCK
from pytest_llmdbench.harnesses.inference_perf import InferencePerf
from pytest_llmdbench.harnesses.inference_perf_requests import PER_REQUEST
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.results.result import Distribution, Result, Stage
from pytest_llmdbench.results.table import TABLE, RequestTable

SAMPLES = Path(__file__).parents[1] / "data" / "inference-perf"
HARNESS = InferencePerf()


@pytest.fixture
def merge(tmp_path: Path) -> Callable[[Sequence[Path]], Result]:
    """Reads the files of programs that ran side by side."""
    return lambda folders: read_run(HARNESS, folders, tmp_path)


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


def assert_same(made: Distribution | None, told: Distribution | None, within: float) -> None:
    """Equal mean and bounds, and equal percentiles where both have them."""
    assert made is not None
    assert told is not None
    assert (made.mean, made.minimum, made.maximum) == pytest.approx((told.mean, told.minimum, told.maximum), rel=within)
    shared = set(made.percentiles) & set(told.percentiles)
    assert {50.0, 90.0, 99.0} <= shared
    for one in shared:
        assert made.percentiles[one] == pytest.approx(told.percentiles[one], rel=within), one


def assert_same_stage(made: Stage, told: Stage) -> None:
    assert made.requests == told.requests
    for name in (
        "duration_s", "asked_rate", "concurrency", "prompt_tokens", "output_tokens",
        "prompt_tokens_per_second", "output_tokens_per_second", "requests_per_second",
    ):  # fmt: skip
        value = getattr(told, name)
        assert getattr(made, name) == (value if value is None else pytest.approx(value, rel=1e-6)), name
    assert set(made.latencies) == set(told.latencies)
    for name, distribution in told.latencies.items():
        # Gaps are kept in single precision, and their percentiles come from a histogram.
        assert_same(made.latencies[name], distribution, within=0.002 if name == "itl" else 1e-5)
    assert set(made.lengths) == set(told.lengths)
    for name, distribution in told.lengths.items():
        assert_same(made.lengths[name], distribution, within=1e-9)
    assert made.schedule_lag == told.schedule_lag


@pytest.mark.parametrize("case", ["constant", "fail-500-30pct"])
def test_the_requests_of_one_program_come_to_what_its_own_summary_says(case: str, merge: Any) -> None:
    made, told = merge([SAMPLES / case]), HARNESS.read(SAMPLES / case)
    assert len(made.stages) == len(told.stages)
    for one, other in zip((made.whole, *made.stages), (told.whole, *told.stages), strict=True):
        assert_same_stage(one, other)


def test_two_programs_come_to_what_the_union_of_their_requests_comes_to(two: tuple[Path, Path], merge: Any) -> None:
    entries = [one for folder in two for one in json.loads((folder / PER_REQUEST).read_text(encoding="utf-8"))]
    first = [one["info"]["response_metrics"]["output_token_times"][0] - one["start_time"] for one in entries]
    window = max(one["end_time"] for one in entries) - min(one["start_time"] for one in entries)
    whole = merge(two).whole
    assert whole.requests.completed == len(entries) == 300
    assert whole.duration_s == pytest.approx(window)
    assert whole.requests_per_second == pytest.approx(300 / window)
    assert whole.output_tokens_per_second == pytest.approx(300 * 32 / window)
    assert (whole.prompt_tokens, whole.output_tokens) == (2 * 6404, 2 * 4800)
    assert whole.latencies["ttft"].mean == pytest.approx(sum(first) / 300)
    assert whole.latencies["ttft"].maximum == pytest.approx(max(first))
    assert whole.latencies["ttft"].statistic("p90") == pytest.approx(
        statistics.quantiles(first, n=10, method="inclusive")[8], rel=1e-5
    )


def test_each_stage_is_the_union_of_the_programs_same_stage(two: tuple[Path, Path], merge: Any) -> None:
    stages = merge(two).stages
    assert [stage.requests.completed for stage in stages] == [100, 200]
    assert [stage.asked_rate for stage in stages] == [10.0, 20.0]
    assert stages[1].achieved_rate == pytest.approx(20, rel=0.06)


def test_one_programs_lag_does_not_hide_behind_anothers(two: tuple[Path, Path], merge: Any) -> None:
    def late(summary: Any) -> None:
        lag = summary["load_summary"]["schedule_delay"]
        summary["load_summary"]["schedule_delay"] = {name: value + 1 for name, value in lag.items()}

    before = HARNESS.read(two[0]).whole.schedule_lag
    edit(two[1] / "summary_lifecycle_metrics.json", late)
    lag = merge(two).whole.schedule_lag
    assert lag is not None
    assert before is not None
    assert before.mean is not None
    assert lag.mean == pytest.approx(before.mean + 0.5)
    assert lag.minimum == before.minimum
    assert lag.percentiles[99.0] == pytest.approx(before.percentiles[99.0] + 1)


def test_failures_of_all_programs_are_added_up_by_kind(merge: Any) -> None:
    folder = SAMPLES / "fail-500-30pct"
    assert merge([folder, folder]).whole.requests.failed == {"500 - Internal Server Error": 36}


def test_times_of_machines_whose_clocks_began_apart_are_brought_together(two: tuple[Path, Path], merge: Any) -> None:
    def rebooted(requests: Any) -> None:
        for one in requests:
            for key in ("start_time", "end_time"):
                one[key] -= 1000
            times = one["info"]["response_metrics"]["output_token_times"]
            one["info"]["response_metrics"]["output_token_times"] = [time - 1000 for time in times]

    before = merge(two).whole
    edit(two[1] / PER_REQUEST, rebooted)
    (two[0] / CLOCK).write_text("1700000000.25\n", encoding="utf-8")
    (two[1] / CLOCK).write_text("1700001000.25\n", encoding="utf-8")
    after = merge(two).whole
    assert after.duration_s == pytest.approx(before.duration_s, abs=1e-5)
    assert after.latencies["ttft"].mean == pytest.approx(before.latencies["ttft"].mean)


def test_requests_that_contradict_the_summary_are_no_result(two: tuple[Path, Path], merge: Any) -> None:
    edit(two[1] / PER_REQUEST, lambda requests: requests.pop())
    with pytest.raises(HarnessError, match=r"pod-1.*holds 149 requests.*count 150"):
        merge(two)


def test_a_failure_that_the_program_did_not_count_is_no_result(two: tuple[Path, Path], merge: Any) -> None:
    edit(two[0] / PER_REQUEST, lambda requests: requests[0].update(error={"error_type": "x", "error_msg": "y"}))
    with pytest.raises(HarnessError, match=r"stage 0.* 1 that failed.*counts 100 and 0"):
        merge(two)


def test_without_single_requests_several_programs_cannot_be_merged(two: tuple[Path, Path], merge: Any) -> None:
    (two[0] / PER_REQUEST).unlink()
    with pytest.raises(HarnessError, match=r"kept no single requests.*load\.parallelism: 1"):
        merge(two)


@pytest.mark.parametrize("text", ["", "[1]", "{}x", '[{"start_time": 1, "end_time": 2, "info": null, "error": null}]'])
def test_spoilt_requests_name_their_file(two: tuple[Path, Path], text: str, merge: Any) -> None:
    (two[0] / PER_REQUEST).write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=r"per_request_lifecycle_metrics\.json"):
        merge(two)


def test_what_is_measured_is_kept_request_by_request(merge: Any, tmp_path: Path) -> None:
    result = merge([SAMPLES / "constant"])
    assert result.table == tmp_path / TABLE
    table = RequestTable(result.table)
    assert len(table) == 150
    assert table.count(1, "completed") == 100
    assert set(table.values("output_tokens")) == {32.0}
    assert table.values("e2e").max() == pytest.approx(result.whole.latencies["e2e"].maximum)
    assert sum(len(piece) for piece in table.gaps(0)) == 50 * 31


def test_a_run_whose_stream_has_an_event_a_token_says_so(merge: Any) -> None:
    assert merge([SAMPLES / "constant"]).whole.tokens_per_event == 1.0


def test_a_server_that_puts_tokens_together_is_told_by_tokens_per_event(two: tuple[Path, Path], merge: Any) -> None:
    def merged(requests: Any) -> None:
        for one in requests:
            metrics = one["info"]["response_metrics"]
            metrics["output_token_times"] = metrics["output_token_times"][::2]

    before = merge([two[0]]).whole
    edit(two[0] / PER_REQUEST, merged)
    after = merge([two[0]]).whole
    assert after.output_tokens == before.output_tokens == 4800
    assert after.tokens_per_event == 2.0
    # An event is two tokens, so a gap is twice as long; the time of a token is what it was.
    assert after.latencies["itl"].mean == pytest.approx(2 * before.latencies["itl"].mean, rel=0.01)
    assert after.latencies["tpot"].mean == pytest.approx(before.latencies["tpot"].mean * 30 / 31, rel=0.01)
