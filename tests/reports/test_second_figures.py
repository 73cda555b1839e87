"""What the charts of a rate search and of a comparison with a baseline show: values where they belong, no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.reports.baseline_figure import baseline_figure
from pytest_llmdbench.reports.html_case import details
from pytest_llmdbench.reports.html_data import gather
from pytest_llmdbench.reports.html_page import page_parts
from pytest_llmdbench.reports.search_figure import search_figure
from tests.reports.recorded_cases import case
from tests.reports.recorded_search import search
from tests.reports.test_html_page import HOSTILE, data


def point(rate: float, met: bool, outcome: str, full: bool = False, **values: float | None) -> dict[str, Any]:
    named = {name.replace("_p", ".p"): value for name, value in values.items()}
    return {"rate": rate, "met": met, "outcome": outcome, "full": full, "requests": 300, "values": named}


def bound(subject: str = "ttft.p99", **more: Any) -> dict[str, Any]:
    about = {"subject": subject, "metric": subject.partition(".")[0], "operator": "<=", "bound": 0.5}
    return {**about, "objective": f"{subject} <= 500 ms", **more}


def found(*curve: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"rate": 10.0, "above": 11.0, "limit": "slo", "text": "10 requests/s", "curve": list(curve), **more}


def changed(metric: str, ratio: float | None, outcome: str, **more: Any) -> dict[str, Any]:
    unit = "s" if "." in metric else "/s"
    known = {"before": 1.0, "after": ratio, "low": None, "high": None, "margin": 0.05, "unit": unit, "decides": True}
    return {"metric": metric, "ratio": ratio, "outcome": outcome, **known, **more}


def compared(*metrics: dict[str, Any]) -> dict[str, Any]:
    return {"outcome": "REGRESSION", "reason": "worse", "baseline": "main", "notes": [], "metrics": list(metrics)}


def test_every_run_stands_at_its_rate_with_its_value_and_its_interval() -> None:
    runs = (point(10, True, "PASS", True, ttft_p99=0.4), point(20, False, "FAIL", ttft_p99=2.0))
    judged = [[bound(low=0.35, high=0.45)], [bound(low=1.5, high=None)]]
    figure = search_figure(found(*runs), [], judged)
    assert figure is not None
    assert [run["rate"] for run in figure["runs"]] == [10, 20]
    [chart] = figure["charts"]
    assert chart["values"] == [0.4, 2.0]
    assert (chart["low"], chart["high"]) == ([0.35, 1.5], [0.45, None])
    assert (chart["bound"], chart["text"], chart["kind"]) == (0.5, "ttft.p99 <= 500 ms", "time")
    assert (figure["rate"], figure["above"], figure["limit"]) == (10, 11, "slo")


def test_proven_met_missed_and_unsound_runs_are_told_apart() -> None:
    runs = (
        point(5, True, "PASS", ttft_p99=0.1), point(9, True, "INCONCLUSIVE", ttft_p99=0.4),
        point(11, False, "INCONCLUSIVE", ttft_p99=0.6), point(12, False, "FAIL", ttft_p99=0.9),
        point(30, False, "INVALID", ttft_p99=0.2),
    )  # fmt: skip
    figure = search_figure(found(*runs), [bound()], [[]] * 5)
    assert figure is not None
    assert [run["word"] for run in figure["runs"]] == ["proven", "met", "missed", "missed", "unsound"]


def test_an_objective_that_no_run_missed_has_no_chart_beside_one_that_was() -> None:
    runs = (point(5, True, "PASS", ttft_p99=0.1, e2e_p99=0.2), point(9, False, "FAIL", ttft_p99=0.6, e2e_p99=0.3))
    figure = search_figure(found(*runs), [bound(), bound("e2e.p99")], [[], []])
    assert figure is not None
    assert [chart["subject"] for chart in figure["charts"]] == ["ttft.p99"]


def test_below_a_bound_from_below_is_missed() -> None:
    runs = (point(5, True, "PASS", goodput=0.99), point(9, False, "FAIL", goodput=0.4))
    about = bound("goodput", operator=">=", bound=0.95)
    figure = search_figure(found(*runs), [about], [[], []])
    assert figure is not None
    [chart] = figure["charts"]
    assert chart["missed"]
    assert chart["kind"] == "share"


def test_where_all_was_met_what_changes_with_the_rate_is_drawn() -> None:
    runs = (point(5, True, "PASS", error_rate=0.0, ttft_p99=0.1), point(9, True, "PASS", error_rate=0.0, ttft_p99=0.2))
    figure = search_figure(found(*runs, limit="high"), [bound()], [[], []])
    assert figure is not None
    assert [chart["subject"] for chart in figure["charts"]] == ["ttft.p99"]


@pytest.mark.parametrize("curve", [[], [point(5, False, "INVALID")], [point(5, False, "INVALID", ttft_p99=None)]])
def test_a_search_that_measured_nothing_is_not_drawn(curve: list[dict[str, Any]]) -> None:
    assert search_figure(found(*curve), [bound()], [[]] * len(curve)) is None


def test_the_curve_of_a_recorded_search_has_the_intervals_of_its_runs(tmp_path: Path) -> None:
    record = search(tmp_path / "run", "a", [(24.0, False), (5.0, False), (10.4, True)])
    [one] = gather([record], tmp_path / "report.html").cases.values()
    [chart] = one["charts"]["search"]["charts"]
    assert chart["subject"] == "ttft.p90"
    assert chart["bound"] == 0.3
    for low, value, high in zip(chart["low"], chart["values"], chart["high"], strict=True):
        assert low < value < high


def test_a_recorded_search_is_drawn_from_its_folder_wherever_that_is_now(tmp_path: Path) -> None:
    record = search(tmp_path / "there", "a", [(24.0, False), (5.0, False)])
    (tmp_path / "there").rename(tmp_path / "here")
    moved = {**record, "folder": record["folder"].replace("/there/", "/here/")}
    del moved["max_rate"]
    [one] = gather([moved], tmp_path / "report.html").cases.values()
    assert [run["rate"] for run in one["charts"]["search"]["runs"]] == [5.0, 24.0]
    assert None not in one["charts"]["search"]["charts"][0]["low"]


@pytest.mark.parametrize("broken", ["", "[]", '{"curve": [1]}', '{"curve": 3}'])
def test_a_search_whose_file_is_broken_leaves_the_rest_of_its_case(tmp_path: Path, broken: str) -> None:
    record = search(tmp_path / "run", "a", [(24.0, False), (5.0, False)])
    del record["max_rate"]
    (Path(record["folder"]) / "max_rate.json").write_text(broken)
    [one] = gather([record], tmp_path / "report.html").cases.values()
    assert "search" not in one["charts"]
    assert one["charts"]["curves"]
    assert "search" not in details(record, tmp_path / "report.html")["content"]


def test_right_is_worse_for_latencies_and_for_rates() -> None:
    said = compared(
        changed("ttft.p99", 1.25, "REGRESSION", low=1.2, high=1.4),
        changed("output_tokens_per_second", 0.8, "REGRESSION", low=0.5, high=0.9),
        changed("e2e.p50", 0.9, "NO REGRESSION"),
    )
    figure = baseline_figure(said)
    assert figure is not None
    rows = {row["metric"]: row for row in figure["rows"]}
    assert rows["ttft.p99"] | {"text": ""} == {
        "metric": "ttft.p99", "text": "", "word": "REGRESSION", "worse": 1.25, "low": 1.2, "high": 1.4, "limit": 1.05,
    }  # fmt: skip
    tokens = rows["output_tokens_per_second"]
    assert (tokens["worse"], tokens["low"], tokens["high"]) == (1.25, 1.111, 2.0)
    assert tokens["text"] == "1/s → 0.8/s (-20.0%)"
    assert (rows["e2e.p50"]["worse"], rows["e2e.p50"]["low"], rows["e2e.p50"]["high"]) == (0.9, None, None)


def test_what_got_worse_is_on_top() -> None:
    said = compared(
        changed("ttft.p50", 1.0, "NO REGRESSION"), changed("tpot.p50", 1.04, "INCONCLUSIVE"),
        changed("ttft.p99", 1.1, "REGRESSION"), changed("e2e.p99", 1.3, "REGRESSION"),
    )  # fmt: skip
    figure = baseline_figure(said)
    assert figure is not None
    assert [row["metric"] for row in figure["rows"]] == ["e2e.p99", "ttft.p99", "tpot.p50", "ttft.p50"]


def test_metrics_that_do_not_decide_are_drawn_only_where_they_got_worse() -> None:
    said = compared(
        changed("ttft.p50", 1.0, "NO REGRESSION"),
        changed("ttft.mean", 1.0, "NO REGRESSION", decides=False),
        changed("itl.p99", 1.2, "REGRESSION", decides=False),
    )
    figure = baseline_figure(said)
    assert figure is not None
    assert [row["metric"] for row in figure["rows"]] == ["itl.p99", "ttft.p50"]
    assert figure["others"] == 1


@pytest.mark.parametrize(
    "said",
    [None, {}, "text", compared(), compared(changed("ttft.p99", None, "INCONCLUSIVE")),
     compared(changed("no such metric", 1.5, "REGRESSION"))],
)  # fmt: skip
def test_without_a_ratio_there_is_no_chart_of_a_comparison(said: Any) -> None:
    assert baseline_figure(said) is None


def test_a_case_that_was_neither_searched_nor_compared_has_neither_chart(tmp_path: Path) -> None:
    [one] = gather([case(tmp_path / "a", "a")], tmp_path / "report.html").cases.values()
    assert not {"search", "baseline"} & set(one["charts"])


def test_charts_of_hostile_names_are_data_and_no_part_of_the_page(tmp_path: Path) -> None:
    record = search(tmp_path / "run", "a", [(24.0, False), (5.0, False)])
    record["max_rate"]["text"] = HOSTILE
    for one in record["max_rate"]["curve"]:
        one["outcome"], one["values"] = HOSTILE, {HOSTILE: one["rate"]}
    record["regression"] = compared(changed("ttft.p99", 1.5, "REGRESSION")) | {"reason": HOSTILE}
    top, tail = page_parts([record], tmp_path / "report.html")
    [one] = data(tail)["cases"].values()
    assert one["charts"]["search"]["charts"][0]["subject"] == HOSTILE
    assert one["charts"]["baseline"]["reason"] == HOSTILE
    assert HOSTILE not in top + tail + one["html"]


def test_a_case_that_meets_its_slo_and_got_worse_is_told_at_the_top(tmp_path: Path) -> None:
    record = case(tmp_path / "a", "quick") | {"regression": compared(changed("ttft.p99", 1.5, "REGRESSION"))}
    record["regression"]["reason"] = "worse than the baseline: ttft.p99 +50.0%"
    top, _ = page_parts([record], tmp_path / "report.html")
    assert record["verdict"]["outcome"] == "PASS"
    assert '<span class="llmd-badge llmd-regression">REGRESSION</span>' in top
    assert "worse than the baseline: ttft.p99 +50.0%" in top


def test_the_charts_of_a_case_take_a_few_kilobytes(tmp_path: Path) -> None:
    rates = [(float(rate), rate == 10) for rate in (24, 5, 16, 8, 12, 10)]
    record = search(tmp_path / "run", "a", rates)
    record["regression"] = compared(*(changed(name, 1.1, "REGRESSION") for name in ("ttft.p50", "ttft.p99", "e2e.p99")))
    [one] = gather([record], tmp_path / "report.html").cases.values()
    both = {name: one["charts"][name] for name in ("search", "baseline")}
    assert len(json.dumps(both)) < 4000
