"""The HTML report: what pytest-html asks for, answered from the records of the cases."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pytest_llmdbench.reports.html_cells import header_cells, row_cells


class HtmlColumns:
    """Hooks of pytest-html; pytest ignores them where pytest-html is not there."""

    def __init__(self, records: Callable[[], Sequence[Mapping[str, Any]]]) -> None:
        self._shown = records
        self._has_columns = False

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_report_title(self, report: Any) -> None:
        """Say what the page is about."""
        report.title = "LLM serving benchmarks"

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Put our columns between pytest-html's name and its links."""
        cells[2:2] = header_cells()
        self._has_columns = True

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """One cell for each of our columns, empty for tests that are not benchmarks."""
        # pytest-html writes a test's name as it is; names of cases come from files. A long one has a place to break.
        name = html.escape(report.nodeid).replace("::", "::<wbr>").replace("[", "<wbr>[")
        cells[:] = [cell.replace(f">{report.nodeid}", f">{name}") for cell in cells]
        if self._has_columns:  # not where benchmarks were found only after the table was begun
            cells[2:2] = row_cells(getattr(report, "llmd", None) or {})

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_summary(self, prefix: list[str], postfix: list[str], session: pytest.Session) -> None:
        """Verdicts and causes at the top; below, what the page's script draws the charts from."""
        from pytest_llmdbench.reports.html_case import page_path
        from pytest_llmdbench.reports.html_page import page_parts

        top, tail = page_parts(self._shown(), page_path(session.config.option.htmlpath))
        prefix.append(top)
        postfix.append(tail)
