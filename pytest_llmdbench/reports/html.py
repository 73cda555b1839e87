"""What the pytest-html report shows of each case: the numbers in columns, the objectives and the way to the files."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from pytest_llmdbench.reports.units import show_rate, show_seconds

_COLUMNS: Final = (
    "Verdict",
    "Requests",
    "TTFT p50",
    "TTFT p99",
    "TPOT p50",
    "TPOT p99",
    "ITL p99",
    "E2E p99",
    "tokens/s",
)


class HtmlColumns:
    """Hooks of pytest-html; pytest ignores them where pytest-html is not there."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Say what the page is about."""
        report.title = "LLM serving benchmarks"

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Put our columns between pytest-html's name and its links."""
        names = (re.sub(r"\W", "_", name.lower()) for name in _COLUMNS)
        cells[2:2] = [
            f'<th class="sortable" data-column-type="{name}">{title}</th>'
            for name, title in zip(names, _COLUMNS, strict=True)
        ]

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """One cell for each of our columns, empty for tests that are not benchmarks."""
        record = getattr(report, "llmd", None) or {}
        names = (re.sub(r"\W", "_", name.lower()) for name in _COLUMNS)
        cells[2:2] = [
            f'<td class="col-{name}">{html.escape(value)}</td>'
            for name, value in zip(names, _values(record), strict=True)
        ]


def details(record: Mapping[str, Any], page: Path) -> dict[str, Any]:
    """The part of a case's row that unfolds: objectives as a table, then what is needed to find and repeat the run.

    ``page`` is the report's own path: folders are linked from there, so that both can move together.
    Returned as the plain data that pytest-html takes in ``report.extras``, so that it need not be imported.
    """
    verdict = record.get("verdict") or {}
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
        for cells in (
            (("ok" if one["met"] else "MISSED"), one["objective"], one["shown"] or "not reported", one["origin"])
            for one in verdict.get("objectives", ())
        )
    )
    table = (
        f"<table><tr><th></th><th>objective</th><th>measured</th><th>declared in</th></tr>{rows}</table>"
        if rows
        else ""
    )
    facts = {
        key: record[key]
        for key in ("model", "scenario", "harness", "harness_version", "workload", "factors")
        if record.get(key)
    }
    listed = "".join(f"<li>{html.escape(key)}: {html.escape(_plain(value))}</li>" for key, value in facts.items())
    listed += "".join(
        f"<li>{key}: {_link(record[key], page)}</li>" for key in ("folder", "diagnostics") if record.get(key)
    )
    content = f"<div><p>{html.escape(str(verdict.get('reason', '')))}</p>{table}<ul>{listed}</ul></div>"
    return {"name": "llmdbench", "format_type": "html", "content": content, "mime_type": None, "extension": None}


def _values(record: Mapping[str, Any]) -> list[str]:
    numbers = record.get("result") or {}
    latencies = numbers.get("latencies", {})
    requests = numbers.get("requests")

    def time(latency: str, statistic: str) -> str:
        value = latencies.get(latency, {}).get(statistic)
        return show_seconds(value) if value is not None else ""

    counts = "" if not requests else f"{requests['completed']} of {requests['offered']}"
    rate = numbers.get("output_tokens_per_second")
    return [
        (record.get("verdict") or {}).get("outcome", ""),
        counts,
        time("ttft", "p50"), time("ttft", "p99"),
        time("tpot", "p50"), time("tpot", "p99"),
        time("itl", "p99"), time("e2e", "p99"),
        show_rate(rate) if rate is not None else "",
    ]  # fmt: skip


def _link(folder: str, page: Path) -> str:
    there = os.path.relpath(folder, page.absolute().parent)
    return f'<a href="{html.escape(quote(there))}">{html.escape(there)}</a>'


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
