"""The results table sorts by the numbers, not by how they are written."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from pytest_llmdbench.reports.html_cells import header_cells, row_cells, sort_key


def sorts(cell: str) -> str:
    """What pytest-html's page compares: the content of the cell as text."""
    found = re.search(r"<td.*?>(.*?)</td>", cell)
    assert found
    return found[1]


def ttft(seconds: float) -> str:
    cells = row_cells({"result": {"latencies": {"ttft": {"p99": seconds}}}})
    return next(cell for cell in cells if "col-ttft_p99" in cell)


def test_ten_seconds_sort_above_nine_milliseconds() -> None:
    shuffled = [0.0091, 12.3, 0.120, 0.0000451, 3.9, 101.0]
    random.Random(1).shuffle(shuffled)
    assert sorted(shuffled, key=lambda value: sorts(ttft(value))) == sorted(shuffled)


def test_what_was_not_measured_sorts_last() -> None:
    absent = next(cell for cell in row_cells({"case": "a"}) if "col-ttft_p99" in cell)
    assert sorts(absent) > sorts(ttft(1e9))


def test_margins_sort_through_zero() -> None:
    values = [-1.0, -0.5, 0.0, 0.001, 3.0, 1e7]
    assert sorted(values, key=sort_key) == values


def test_verdicts_sort_by_what_needs_looking_at() -> None:
    def cell(record: Mapping[str, object]) -> str:
        return sorts(row_cells(record)[0])

    verdicts = [{"verdict": {"outcome": word}} for word in ("FAIL", "INVALID", "INCONCLUSIVE", "PASS")]
    cells = [cell({"error": "no pods"}), *map(cell, verdicts)]
    assert cells == sorted(cells)
    assert len(set(cells)) == 5


def test_every_row_has_a_cell_for_every_head_also_where_a_test_is_no_benchmark() -> None:
    assert len(row_cells({})) == len(header_cells()) == len(row_cells({"case": "a", "error": "no"}))


def test_a_verdict_of_another_form_does_not_break_the_table() -> None:
    old = {"verdict": {"outcome": "PASS", "objectives": [{"objective": "ttft.p99 <= 1 s", "met": True}]}}
    assert any(">PASS<" in cell for cell in row_cells(old))
