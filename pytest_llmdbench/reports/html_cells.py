"""The columns that the results table of the HTML report has of ours, and their cells."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.reports.comparison import outcome_of
from pytest_llmdbench.reports.units import show_margin, show_rate, show_seconds

#: Outcomes, the ones that need looking at first.
ORDER: Final = ("ERROR", "FAIL", "INVALID", "INCONCLUSIVE", "INTERRUPTED", "PASS", "-")
#: What sorts behind every number.
_LAST: Final = "~"


@dataclass(frozen=True, slots=True)
class Cell:
    """What people read, and the text by which pytest-html's page sorts it."""

    shown: str
    sort: str = _LAST


#: Name in classes -> title; latencies are named by what they are made from.
COLUMNS: Final = {
    "verdict": "Verdict",
    "requests": "Requests",
    "ttft_p50": "TTFT p50",
    "ttft_p99": "TTFT p99",
    "tpot_p50": "TPOT p50",
    "tpot_p99": "TPOT p99",
    "itl_p99": "ITL p99",
    "e2e_p99": "E2E p99",
    "tokens_s": "tokens/s",
    "margin": "Margin",
}


def header_cells() -> list[str]:
    """The heads of our columns."""
    return [
        f'<th class="sortable" data-column-type="{name}" title="{html.escape(_MEANING.get(name, ""))}">{title}</th>'
        for name, title in COLUMNS.items()
    ]


def row_cells(record: Mapping[str, Any]) -> list[str]:
    """The cells of one case; empty for a test that is not a benchmark."""
    cells = dict(_cells(record)) if record else {}
    return [_cell(name, title, cells.get(name, Cell(""))) for name, title in COLUMNS.items()]


_MEANING: Final = {
    "ttft_p50": "time to first token, median",
    "ttft_p99": "time to first token, 99th percentile",
    "tpot_p50": "time per output token after the first, median",
    "tpot_p99": "time per output token after the first, 99th percentile",
    "itl_p99": "gap between two events of a stream, 99th percentile",
    "e2e_p99": "the whole request, 99th percentile",
    "tokens_s": "generated tokens a second",
    "margin": "how far the worst objective is from its bound: above 0 it is missed",
}


def _cell(name: str, title: str, cell: Cell) -> str:
    # The page compares the texts of cells from their begin, and only knows the first line.
    shown = html.escape(cell.shown)
    if name == "verdict" and cell.shown:
        shown = f'<span class="llmd-badge llmd-{html.escape(cell.shown.lower())}">{shown}</span>'
    value = f'<data value="{cell.sort}">{shown}</data>'
    return f'<td class="col-{name}" data-label="{title}">{value}</td>'


def _cells(record: Mapping[str, Any]) -> Iterator[tuple[str, Cell]]:
    numbers = record.get("result") or {}
    outcome = outcome_of(record)
    # A test that sent no load has no verdict.
    yield "verdict", Cell("" if outcome == "-" else outcome, str(ORDER.index(outcome)) if outcome in ORDER else _LAST)
    if requests := numbers.get("requests"):
        yield "requests", Cell(f"{requests['completed']} of {requests['offered']}", sort_key(requests["completed"]))
    for name in COLUMNS:
        latency, _, statistic = name.partition("_")
        value = numbers.get("latencies", {}).get(latency, {}).get(statistic)
        if value is not None:
            yield name, Cell(show_seconds(value), sort_key(value))
    rate = numbers.get("output_tokens_per_second")
    if rate is not None:
        yield "tokens_s", Cell(show_rate(rate), sort_key(rate))
    margins = [one.get("margin") for one in (record.get("verdict") or {}).get("objectives") or ()]
    if known := [one for one in margins if one is not None]:
        yield "margin", Cell(show_margin(max(known)), sort_key(max(known)))


def sort_key(value: float) -> str:
    """A text that sorts among others as the numbers do, from -1e9 up to 1e15."""
    return f"{min(max(value, -1e9), 1e15) + 1e9:026.9f}"
