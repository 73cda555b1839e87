"""Reports of genuine runs of guidellm, and what can be wrong with such reports, as results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses import guidellm_report
from pytest_llmdbench.harnesses.guidellm import Guidellm
from pytest_llmdbench.harnesses.guidellm_files import LATENCIES, read
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.table import RequestTable

SAMPLES = Path(__file__).parents[1] / "data" / "guidellm"
RELEASES = {"constant-0.7.3": "0.7.3"}
GOOD = ("constant", "constant-0.7.3", "concurrent-two-stages")


def sample(case: str, folder: Path) -> Result:
    """The result of a genuine run, made from its single requests."""
    return read_run(Guidellm(RELEASES.get(case)), [SAMPLES / case], folder)


def case_of(case: str) -> Any:
    """What was noted beside the files, the server's own truth for one."""
    return json.loads((SAMPLES / case / "case.json").read_text(encoding="utf-8"))


@pytest.fixture
def spoilt(tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """Makes the folder of a good run with its report changed."""

    def make(change: Callable[[Any], None]) -> Path:
        folder = Path(shutil.copytree(SAMPLES / "constant-0.7.3", tmp_path / "run"))
        report = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        change(report)
        (folder / "results.json").write_text(json.dumps(report), encoding="utf-8")
        return folder

    return make


def of(folder: Path) -> list[Request]:
    program = Guidellm()
    streamed = program.requests(folder, program.read(folder))
    assert streamed is not None
    return list(streamed)


@pytest.mark.parametrize("case", GOOD)
def test_latencies_are_what_the_server_saw_and_a_little_more(case: str, tmp_path: Path) -> None:
    measured, truth = sample(case, tmp_path).whole.latencies, case_of(case)["truth"]
    ttft, tpot, e2e = (measured[name].statistic("median") for name in ("ttft", "tpot", "e2e"))
    assert ttft is not None
    assert tpot is not None
    assert e2e is not None
    assert 0.0005 <= ttft - truth["ttft_ms"]["p50"] / 1000 <= 0.008
    assert tpot == pytest.approx(truth["itl_ms"]["p50"] / 1000, abs=0.0002)
    assert 0.0005 <= e2e - truth["e2e_ms"]["p50"] / 1000 <= 0.02


@pytest.mark.parametrize("case", [*GOOD, "fail-500-30pct", "tokens-merged"])
def test_requests_that_completed_are_those_the_server_counted(case: str, tmp_path: Path) -> None:
    whole, server = sample(case, tmp_path).whole, case_of(case)["server_stat"]
    assert whole.requests.completed == server["ok"]
    assert whole.output_tokens == server["ok"] * 32 <= server["gen"]


def test_all_that_a_good_run_reports_has_its_canonical_name(tmp_path: Path) -> None:
    whole = sample("constant", tmp_path).whole
    assert set(whole.latencies) == {one.name for one in LATENCIES} == {"ttft", "tpot", "e2e", "normalized_tpot"}
    assert set(whole.lengths) == {"prompt", "output"}
    assert (whole.prompt_tokens, whole.output_tokens) == (2493, 3136)
    assert (whole.asked_rate, whole.concurrency) == (10.0, None)
    assert whole.tokens_per_event == 1.0
    own = read(SAMPLES / "constant", "").whole.schedule_lag
    assert whole.schedule_lag is not None
    assert own is not None
    assert whole.schedule_lag.mean == pytest.approx(own.mean)
    assert whole.schedule_lag.maximum == pytest.approx(own.maximum)


def test_what_the_program_calls_the_time_per_output_token_holds_the_first_one_too(tmp_path: Path) -> None:
    report = json.loads((SAMPLES / "constant" / "results.json").read_text(encoding="utf-8"))
    own = report["benchmarks"][0]["metrics"]["time_per_output_token_ms"]["successful"]["mean"] / 1000
    latencies = sample("constant", tmp_path).whole.latencies
    assert latencies["normalized_tpot"].mean == pytest.approx(own, rel=0.01)
    assert latencies["tpot"].mean is not None
    assert latencies["tpot"].mean < own - 0.001


@pytest.mark.parametrize("case", GOOD)
def test_means_of_single_requests_are_those_of_the_programs_own_summary(case: str, tmp_path: Path) -> None:
    made = sample(case, tmp_path)
    for one, own in zip(made.stages, read(SAMPLES / case, "").stages, strict=True):
        for name in ("ttft", "tpot", "e2e"):
            assert one.latencies[name].mean == pytest.approx(own.latencies[name].mean, rel=1e-6)
            assert one.latencies[name].maximum == pytest.approx(own.latencies[name].maximum, rel=1e-6)
        assert one.lengths["output"].mean == own.lengths["output"].mean == 32
        assert own.latencies["ttft"].percentiles[99.9] == own.latencies["ttft"].maximum
        assert own.latencies["ttft"].percentiles[0.1] == own.latencies["ttft"].minimum


def test_each_benchmark_is_a_stage_with_its_own_requests(tmp_path: Path) -> None:
    result = sample("concurrent-two-stages", tmp_path)
    assert [stage.concurrency for stage in result.stages] == [4, 8]
    assert [stage.requests.completed for stage in result.stages] == [20, 40]
    assert result.whole.requests.completed == 60
    assert result.table is not None
    sent = [RequestTable(result.table).values("sent", index) for index in (0, 1)]
    assert sent[0].max() < sent[1].min()


def test_a_closed_loop_has_neither_asked_rate_nor_lag(tmp_path: Path) -> None:
    result = sample("concurrent-two-stages", tmp_path)
    assert {stage.asked_rate for stage in (result.whole, *result.stages)} == {None}
    assert {stage.schedule_lag for stage in (result.whole, *result.stages)} == {None}


def test_events_that_hold_several_tokens_are_told_from_tokens(tmp_path: Path) -> None:
    whole = sample("tokens-merged", tmp_path).whole
    assert whole.tokens_per_event == 4
    assert whole.lengths["output"].mean == 32


def test_what_was_under_way_when_the_time_was_up_is_unfinished_and_no_failure(tmp_path: Path) -> None:
    requests = sample("constant", tmp_path).whole.requests
    assert (requests.completed, requests.failures, requests.unfinished) == (98, 0, 2)


@pytest.mark.parametrize(
    ("case", "completed", "failed"),
    [("fail-500-30pct", 39, {"HTTP 500 X": 21}), ("fail-404-model", 0, {"HTTP 404 X": 51})],
)
def test_failures_are_counted_by_kind(case: str, completed: int, failed: dict[str, int], tmp_path: Path) -> None:
    assert case_of(case)["exit_code"] == 0
    requests = sample(case, tmp_path).whole.requests
    assert (requests.completed, requests.failed) == (completed, failed)


def test_a_run_in_which_all_failed_has_no_latencies_though_the_program_says_0(tmp_path: Path) -> None:
    report = json.loads((SAMPLES / "fail-404-model" / "results.json").read_text(encoding="utf-8"))
    assert report["benchmarks"][0]["metrics"]["time_to_first_token_ms"]["successful"]["mean"] == 0.0
    for whole in (sample("fail-404-model", tmp_path).whole, read(SAMPLES / "fail-404-model", "").whole):
        assert (dict(whole.latencies), dict(whole.lengths)) == ({}, {})
        assert whole.output_tokens is None


@pytest.mark.parametrize("case", ["fail-server-down", "config-error"])
def test_a_run_without_a_report_says_where_to_look(case: str) -> None:
    with pytest.raises(HarnessError, match=r"wrote no results\.json.*no server that answers.*stderr\.log"):
        read(SAMPLES / case, "0.8.1")


def test_answers_that_came_whole_have_no_first_token(spoilt: Callable[..., Path], tmp_path: Path) -> None:
    def whole(report: Any) -> None:
        for one in report["benchmarks"][0]["requests"]["successful"]:
            timings = one["info"]["timings"]
            timings.update(first_token_iteration=None, last_token_iteration=None, token_iterations=0)

    result = read_run(Guidellm(), [spoilt(whole)], tmp_path)
    assert set(result.whole.latencies) == {"e2e", "normalized_tpot"}
    assert result.whole.tokens_per_event is None


def test_requests_outside_the_measured_window_are_not_counted_as_the_program_does(
    spoilt: Callable[..., Path], tmp_path: Path
) -> None:
    def warm_up(report: Any) -> None:
        one = report["benchmarks"][0]
        one["start_time"] += 1.5
        early = [r for r in one["requests"]["successful"] if r["request_end_time"] < one["start_time"]]
        one["metrics"]["request_totals"]["successful"] -= len(early)

    whole = read_run(Guidellm(), [spoilt(warm_up)], tmp_path).whole
    assert 20 < whole.requests.completed < 38


def test_requests_that_contradict_the_counts_are_no_result(spoilt: Callable[..., Path], tmp_path: Path) -> None:
    folder = spoilt(lambda report: report["benchmarks"][0]["requests"]["successful"].pop())
    with pytest.raises(HarnessError, match=r"37 requests that completed.*itself counts 38"):
        read_run(Guidellm(), [folder], tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", '{"metadata": {"version": 2}, "benchmarks": [{"metrics"', "[1, 2]", "null", "\0", "[" * 100_000, "NaN"],
)
def test_a_report_that_was_cut_short_or_is_none_names_itself(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=r"results\.json"):
        read(tmp_path, "0.8.1")


def test_a_report_cut_in_the_middle_of_its_requests_names_itself(tmp_path: Path) -> None:
    text = (SAMPLES / "constant" / "results.json").read_text(encoding="utf-8")
    (tmp_path / "results.json").write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(HarnessError, match="cut short"):
        read(tmp_path, "0.8.1")


@pytest.mark.parametrize("version", [1, 3, "2", None, {"a": 1}])
def test_a_report_of_an_unknown_version_is_refused(spoilt: Callable[..., Path], version: object) -> None:
    folder = spoilt(lambda report: report["metadata"].update(version=version))
    with pytest.raises(HarnessError, match=r"'metadata\.version' should be .*known here \(2\), not"):
        read(folder, "0.8.1")


@pytest.mark.parametrize("held", [[], None])
def test_a_report_without_benchmarks_is_no_result(spoilt: Callable[..., Path], held: object) -> None:
    with pytest.raises(HarnessError, match="holds no benchmark"):
        read(spoilt(lambda report: report.update(benchmarks=held)), "0.8.1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metrics", [1]),
        ("metrics.request_totals", None),
        ("metrics.request_totals.successful", "38"),
        ("metrics.request_totals.successful", -1),
        ("metrics.request_totals.errored", 0.5),
        ("metrics.time_to_first_token_ms.successful", [0.1]),
        ("metrics.time_to_first_token_ms.successful.mean", "fast"),
        ("metrics.time_to_first_token_ms.successful.percentiles", 5),
        ("metrics.output_token_count.successful.percentiles.p99", True),
        ("config.strategy", "constant"),
        ("config.strategy.type_", 7),
        ("config.strategy.rate", "10"),
        ("duration", [5]),
    ],
)
def test_a_value_of_a_wrong_kind_is_named_with_file_and_field(
    spoilt: Callable[..., Path], field: str, value: object
) -> None:
    def spoil(report: Any) -> None:
        data = report["benchmarks"][0]
        *above, last = field.split(".")
        for key in above:
            data = data[key]
        data[last] = value

    with pytest.raises(HarnessError, match=rf"results\.json: 'benchmarks\.0\.{field}"):
        read(spoilt(spoil), "0.8.1")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("info", None),
        ("info.timings", []),
        ("info.timings.request_start", "now"),
        ("info.timings.request_end", {}),
        ("info.timings.token_iterations", -4),
        ("info.timings.first_token_iteration", True),
        ("output_tokens", 1e300),
        ("prompt_tokens", {"a": 1}),
    ],
)
def test_a_spoilt_request_names_file_and_list(spoilt: Callable[..., Path], path: str, value: object) -> None:
    def spoil(report: Any) -> None:
        data = report["benchmarks"][0]["requests"]["successful"][3]
        *above, last = path.split(".")
        for key in above:
            data = data[key]
        data[last] = value

    with pytest.raises(HarnessError, match=r"results\.json: a request in 'benchmarks\.0\.requests\.successful'"):
        of(spoilt(spoil))


@pytest.mark.parametrize("listed", [[5], ["x"], [None], [[1]], [{}]])
def test_what_is_no_request_at_all_is_named_too(spoilt: Callable[..., Path], listed: list[object]) -> None:
    with pytest.raises(HarnessError, match=r"benchmarks\.0\.requests\.errored"):
        of(spoilt(lambda report: report["benchmarks"][0]["requests"].update(errored=listed)))


@pytest.mark.parametrize("number", ["1" * 400, "1e999", "-1e999", "0x10", "NaN", "Infinity"])
def test_numbers_that_are_none_name_the_report(tmp_path: Path, number: str) -> None:
    text = (SAMPLES / "constant-0.7.3" / "results.json").read_text(encoding="utf-8")
    assert text.count('"duration": 5.0') == 1
    (tmp_path / "results.json").write_text(text.replace('"duration": 5.0', f'"duration": {number}'), encoding="utf-8")
    with pytest.raises(HarnessError, match=r"results\.json"):
        read(tmp_path, "0.8.1")


def test_requests_are_never_held_all_at_once() -> None:
    folder = SAMPLES / "constant-0.7.3"
    found = guidellm_report.benchmarks(folder)
    assert found[0].fields.get("requests") == {"successful": 38, "incomplete": 3}
    first = next(guidellm_report.entries(folder, found))
    assert (first.listed, first.benchmark.number) == ("successful", 0)
