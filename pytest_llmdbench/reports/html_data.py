"""What the HTML report finds in the folders of its cases: charts, texts, and what there is to compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmdbench.errors import LlmdError
from pytest_llmdbench.reports.baseline_figure import baseline_figure
from pytest_llmdbench.reports.comparison import Compared
from pytest_llmdbench.reports.figures import Budget, figures
from pytest_llmdbench.reports.hardware import hardware
from pytest_llmdbench.reports.html_case import case_key
from pytest_llmdbench.reports.html_more import more
from pytest_llmdbench.reports.html_second import search_of
from pytest_llmdbench.reports.search_figure import search_figure
from pytest_llmdbench.reports.server_figure import server_figure
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.store import read_result


@dataclass(slots=True)
class Gathered:
    """What was found. ``cases`` by key: HTML, texts by title, charts; ``texts`` by the keys that cases name."""

    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    compared: list[Compared] = field(default_factory=list)
    hardware: set[str] = field(default_factory=set)


def gather(records: Sequence[Mapping[str, Any]], page: Path) -> Gathered:
    """Read the folder of every case; one that cannot be read is told so and has no charts.

    ``page`` is the report's own path, from which files are linked.
    """
    found, budget = Gathered(), Budget.of(len(records))
    for record in records:
        key = case_key(record)
        if key and key not in found.cases:
            _read_case(found, key, record, page, budget)
    return found


def _read_case(found: Gathered, key: str, record: Mapping[str, Any], page: Path, budget: Budget) -> None:
    folder, problem = Path(record["folder"]), ""
    result: Result | None = None
    charts: dict[str, Any] = {}
    try:
        result = read_result(folder)
    except LlmdError as error:
        # A case that ended in an error has said so; one with numbers has lost them.
        problem = f"There are no charts: {error}" if record.get("result") else ""
    if result is not None:
        found.compared.append(Compared(key, record, result))
        try:
            charts = _charts(result, record.get("verdict") or {}, budget)
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
            problem = f"There are no charts: what {folder.name} holds cannot be drawn: {error}"
    try:
        charts = _second(record) | charts
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        problem = problem or f"There is no chart of the search or the baseline: {error}"
    found.hardware.update(hardware(folder))
    found.cases[key] = {**more(folder, result, problem, page, found.texts), "charts": charts}


def _second(record: Mapping[str, Any]) -> dict[str, Any]:
    """Charts of what is said besides the SLO: the search for the highest rate, and the comparison with a baseline."""
    charts: dict[str, Any] = {"baseline": baseline_figure(record.get("regression"))}
    if search := search_of(record):
        objectives = (record.get("verdict") or {}).get("objectives") or ()
        # Runs of a search are beside each other, wherever their folder is now.
        place = Path(record["folder"]).parent
        names = [Path(str(point.get("folder") or "-")).name for point in search.get("curve") or ()]
        charts["search"] = search_figure(search, objectives, [_judged(place / name) for name in names])
    return {name: chart for name, chart in charts.items() if chart}


def _judged(folder: Path) -> Sequence[Mapping[str, Any]]:
    """The objectives in the verdict that was kept of a run; empty where that cannot be read."""
    try:
        kept = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ()
    objectives = kept.get("objectives") if isinstance(kept, Mapping) else None
    return objectives if isinstance(objectives, list) else ()


def _charts(result: Result, verdict: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    from pytest_llmdbench.results.table import RequestTable

    table = RequestTable(result.table) if result.table is not None and result.table.is_file() else None
    charts = figures(result, table, verdict, budget)
    zero = charts.get("requests", {}).get("zero")
    server = server_figure(result.server.get("metrics"), zero, budget.scatter)
    return charts | ({"server": server} if server else {})
