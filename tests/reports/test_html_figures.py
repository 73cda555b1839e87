"""The charts of a case show what was measured, whatever of it there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.reports.figures import Budget, figures
from pytest_llmdbench.reports.server_figure import server_figure
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage
from pytest_llmdbench.results.store import read_result
from pytest_llmdbench.results.table import RequestTable, pool_tables, write_table
from tests.reports.recorded_cases import BEGAN, case, metrics, requests, verdict


def drawn(folder: Path, budget: Budget | None = None, judged: dict[str, Any] | None = None) -> dict[str, Any]:
    result = read_result(folder)
    table = RequestTable(result.table) if result.table else None
    return figures(result, table, judged or {}, budget or Budget())


def test_a_curve_goes_up_to_all_requests_and_says_how_many_were_within_a_time(tmp_path: Path) -> None:
    case(tmp_path / "a", "a", rates=(50.0,), seconds=100)
    curve = next(one for one in drawn(tmp_path / "a")["curves"]["curves"] if one["name"] == "ttft")
    values = sorted(RequestTable(tmp_path / "a/requests.parquet").values("ttft"))
    assert curve["count"] == 5000
    assert len(curve["times"]) <= 200
    assert curve["shares"][-1] == 1.0
    assert curve["times"][-1] == pytest.approx(values[-1], rel=1e-3)
    for time, share in zip(curve["times"], curve["shares"], strict=True):
        assert values[round(share * 5000) - 1] == pytest.approx(time, rel=1e-3)


def test_the_slowest_tenth_has_half_of_a_curves_points(tmp_path: Path) -> None:
    case(tmp_path / "a", "a", rates=(50.0,), seconds=100)
    curve = drawn(tmp_path / "a")["curves"]["curves"][0]
    assert sum(share >= 0.9 for share in curve["shares"]) >= 100


def test_without_single_requests_curves_run_through_the_percentiles(tmp_path: Path) -> None:
    case(tmp_path / "a", "a", single=False)
    charts = drawn(tmp_path / "a")
    assert "requests" not in charts
    assert all(one["percentiles"] for one in charts["curves"]["curves"])


def test_requests_over_time_are_few_and_the_slowest_is_among_them(tmp_path: Path) -> None:
    case(tmp_path / "a", "a", rates=(50.0,), seconds=100)
    chart = drawn(tmp_path / "a")["requests"]
    assert chart["of"] == 5000
    assert chart["drawn"] == len(chart["sent"]) == len(chart["times"]) <= 2000
    slowest = float(RequestTable(tmp_path / "a/requests.parquet").values("ttft").max())
    assert max(chart["times"]) == pytest.approx(slowest, rel=1e-3)


def test_failed_requests_and_stages_and_the_warm_up_are_shown(tmp_path: Path) -> None:
    record = case(tmp_path / "a", "a", rates=(2.0, 8.0), failed=3)
    chart = drawn(tmp_path / "a", judged=record["verdict"])["requests"]
    assert chart["failed"]["of"] == 3
    assert [begin for begin, _ in chart["stages"]] == [0.0, 10.0]
    assert chart["warmup"] == [[0.0, 2.0]]


def test_a_stage_that_is_left_out_whole_is_shaded_to_its_end(tmp_path: Path) -> None:
    case(tmp_path / "a", "a", rates=(2.0, 8.0))
    [(begin, end)] = drawn(tmp_path / "a", judged={"warmup_s": {"0": float("inf")}})["requests"]["warmup"]
    assert begin == 0
    assert 9 <= end < 10


def test_each_run_of_a_repeated_load_has_its_own_warm_up(tmp_path: Path) -> None:
    every = requests((2.0,))
    again = [replace(one, sent=one.sent + 60, ended=(one.ended or 0) + 60) for one in every]
    for number, run in enumerate((every, again)):
        write_table(tmp_path / f"{number}.parquet", ((0, one) for one in run))
    pool_tables(tmp_path / "both.parquet", [tmp_path / "0.parquet", tmp_path / "1.parquet"])
    result = Result("x", "1", Stage(Requests(40)), (Stage(Requests(40), asked_rate=2.0),))
    chart = figures(result, RequestTable(tmp_path / "both.parquet"), {"warmup_s": {"0": 3.0}}, Budget())["requests"]
    assert chart["warmup"] == [[0.0, 3.0], [60.0, 63.0]]
    assert len(chart["stages"]) == 2


def test_latency_is_drawn_against_the_rate_of_each_stage_with_its_bound(tmp_path: Path) -> None:
    record = case(tmp_path / "a", "a", rates=(2.0, 8.0, 16.0))
    load = drawn(tmp_path / "a", judged=record["verdict"])["load"]
    assert load["loads"] == [2.0, 8.0, 16.0]
    assert [one["bound"] for one in load["objectives"]] == [0.5]
    p99 = next(one for one in load["lines"] if one["title"] == "TTFT p99")
    stages = read_result(tmp_path / "a").stages
    told = [stage.latencies["ttft"].statistic("p99") for stage in stages]
    assert p99["times"] == pytest.approx(told, rel=1e-3)


def test_one_stage_has_no_line_over_loads(tmp_path: Path) -> None:
    case(tmp_path / "a", "a", rates=(2.0,))
    assert "load" not in drawn(tmp_path / "a")


def test_a_run_of_one_request_is_drawn(tmp_path: Path) -> None:
    case(tmp_path / "a", "a", rates=(1.0,), seconds=1)
    charts = drawn(tmp_path / "a")
    assert charts["requests"]["drawn"] == 1
    assert charts["curves"]["curves"][0]["shares"] == [1.0]


def test_a_run_in_which_nothing_completed_shows_its_failures_alone(tmp_path: Path) -> None:
    case(tmp_path / "a", "a", rates=(2.0,), failed=20)
    charts = drawn(tmp_path / "a", judged=verdict(None))
    assert set(charts) == {"requests"}
    assert charts["requests"]["drawn"] == 0


def test_a_result_that_says_nothing_has_no_charts() -> None:
    assert figures(Result("x", "1", Stage(Requests(0))), None, {}, Budget()) == {}


def test_a_number_without_an_end_is_not_drawn() -> None:
    told = Distribution(percentiles={50.0: float("nan"), 99.0: 1.0})
    whole = replace(Stage(Requests(1)), latencies={"ttft": told})
    [curve] = figures(Result("x", "1", whole), None, {}, Budget())["curves"]["curves"]
    assert curve["times"] == [None, 1.0]


def test_the_servers_lines_begin_with_the_first_request() -> None:
    figure = server_figure(metrics()["metrics"], BEGAN + 5, 2000)
    assert figure is not None
    assert {one["title"] for one in figure["lines"]} == {"waiting", "running", "KV cache in use"}
    assert figure["lines"][0]["seconds"][0] == -5
    assert figure["loaded"] == [-5, 15]


def test_of_very_many_pods_the_busiest_are_drawn_with_few_points() -> None:
    figure = server_figure(metrics(components=40, points=256)["metrics"], None, 2000)
    assert figure is not None
    assert {one["component"] for one in figure["lines"]} == {f"decode-{number}" for number in range(32, 40)}
    assert sum(len(one["values"]) for one in figure["lines"]) <= 2048


@pytest.mark.parametrize("nothing", [None, {}, {"components": []}, {"components": [{"label": "a"}]}, [], "text"])
def test_without_scraped_metrics_there_is_no_chart_of_the_servers(nothing: Any) -> None:
    assert server_figure(nothing, None, 2000) is None
