"""The unfolded row tells how a case compares with a baseline, and every run of a search for the highest rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_llmdbench.reports.html_case import details

CASE: dict[str, Any] = {"case": "local-x", "harness": "inference-perf", "factors": {}}


def shown(**more: Any) -> str:
    return str(details({**CASE, **more}, Path("report.html"))["content"])


def test_a_regression_is_told_with_its_metrics() -> None:
    metric = {
        "metric": "tpot.p50", "outcome": "REGRESSION", "before": 0.05, "after": 0.055, "ratio": 1.1, "low": 1.08,
        "high": 1.12, "margin": 0.05, "unit": "s",
    }  # fmt: skip
    said = {
        "outcome": "REGRESSION",
        "reason": "tpot.p50 is worse",
        "baseline": "main",
        "notes": [],
        "metrics": [metric],
    }
    page = shown(regression=said)
    for text in ("against main: tpot.p50 is worse", "50 ms", "55 ms", "+10.0%", "+8.0% .. +12.0%", "5.0%"):
        assert text in page, text


def test_the_curve_of_a_search_has_a_row_a_run() -> None:
    point = {
        "rate": 12.5,
        "throughput": 12.1,
        "outcome": "PASS",
        "met": True,
        "full": True,
        "requests": 300,
        "values": {"ttft.p90": 0.2, "error_rate": 0.001, "goodput(ttft <= 1s)": 0.95},
    }
    unsound = {**point, "rate": 20.0, "full": False, "outcome": "INVALID", "met": False}
    page = shown(max_rate={"text": "12.5 requests/s", "runs": 5, "curve": [point, unsound]})
    for text in (
        "12.5 requests/s", "12.5/s", "20/s", "ttft.p90 200 ms, error_rate 0.1%, goodput(ttft &lt;= 1s) 95%",
        "<td>met</td><td>PASS</td><td>full</td>", "<td>not sound</td><td>INVALID</td><td>short</td>",
    ):  # fmt: skip
        assert text in page, text


def test_the_metrics_that_decide_come_first_and_have_a_star() -> None:
    names = {"ttft.mean": ("REGRESSION", False), "ttft.p50": ("NO REGRESSION", True), "e2e.p99": ("REGRESSION", True)}
    metrics = [{"metric": name, "outcome": word, "decides": decides} for name, (word, decides) in names.items()]
    page = shown(regression={"outcome": "REGRESSION", "reason": "", "baseline": "main", "metrics": metrics})
    places = [page.index(f"<td>{name}</td>") for name in ("e2e.p99 *", "ttft.p50 *", "ttft.mean")]
    assert places == sorted(places)


def test_names_from_elsewhere_are_escaped() -> None:
    hostile = "<script>alert(1)</script>"
    said = {
        "outcome": hostile,
        "reason": hostile,
        "baseline": hostile,
        "notes": [hostile],
        "metrics": [{"metric": hostile}],
    }
    page = shown(regression=said, max_rate={"text": hostile, "curve": [{"outcome": hostile, "values": {hostile: 1.0}}]})
    assert hostile not in page
    assert "&lt;script&gt;" in page


def test_a_case_without_either_says_nothing_of_them() -> None:
    assert "baseline" not in shown()
    assert "search" not in shown()
