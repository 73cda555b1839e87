"""What changed between runs, for people: a table a case, in the terminal and as the text of a failure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import ResultsError, counted
from pytest_llmdbench.reports.units import show_rate, show_seconds
from pytest_llmdbench.results.baseline import Baseline
from pytest_llmdbench.results.store import write_json
from pytest_llmdbench.verdicts.regression import DECIDING, Change, Regression, compare
from pytest_llmdbench.verdicts.run_level import COMPARED

_HEADERS: Final = ("metric", "then", "now", "change", "interval", "margin", "")
#: Words in the order that tables show them.
_ORDER: Final = ("REGRESSION", "INCONCLUSIVE", "NO REGRESSION")


def text_of(regression: Regression) -> str:
    """Outcome and metrics, those that decide first and the worst of them first, one a line."""
    head = f"{regression.outcome}: {regression.reason} (baseline: {regression.baseline})"
    lines = table(regression.changes) if regression.changes else []
    return "\n".join([head, *lines, *(f"note: {note}" for note in regression.notes)])


def table(changes: Sequence[Change]) -> list[str]:
    """A line for each metric; a star marks those that decide."""
    ordered = sorted(changes, key=lambda change: (not change.decides, _ORDER.index(change.word)))
    rows = [_HEADERS, *(_row(change) for change in ordered)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in (0, len(widths) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(change: Change) -> tuple[str, ...]:
    ends = [_signed(end) for end in (change.low, change.high) if end is not None]
    return (
        f"{change.metric}{' *' if change.decides else ''}",
        _shown(change.metric, change.before),
        _shown(change.metric, change.after),
        "" if change.ratio is None else _signed(change.ratio),
        " .. ".join(ends),
        f"{change.margin:.1%}",
        change.word.lower() if change.word != "REGRESSION" else change.word,
    )


def _signed(ratio: float) -> str:
    """``+10.2%`` of a ratio of 1.102; of hardly any change ``+0.0%``, whichever way."""
    return f"{round(ratio - 1, 3) + 0.0:+.1%}"


def _shown(metric: str, value: float | None) -> str:
    return show_seconds(value) if COMPARED[metric].metric.kind == "time" else show_rate(value)


def comparisons(results: Sequence[Baseline], margin: float) -> list[list[Regression]]:
    """Everything in the second and further results against the first, a list for each of them.

    Raises:
        ResultsError: one has no case in common with the first.
    """
    first, *others = results
    found = []
    for other in others:
        if not any(first.of(case) for case in other.cases):
            raise ResultsError(f"{other.origin}: no case of it is in {first.origin}")
        found.append([compare(first, case, margin) for case in other.cases])
    return found


def lines_of(results: Sequence[Baseline], compared: Sequence[Sequence[Regression]]) -> Iterator[str]:
    """What ``--llmd-compare`` prints."""
    for one in results:
        yield from (f"note: {one.origin}: {note}" for note in one.notes)
    for other, regressions in zip(results[1:], compared, strict=True):
        yield f"{other.origin} against {results[0].origin}"
        for regression in regressions:
            yield ""
            yield f"{regression.case}{_runs(regression)}"
            yield from text_of(regression).splitlines()
        worse = sum(one.outcome == "REGRESSION" for one in regressions)
        yield ""
        yield f"{counted(len(regressions), 'case')}, {worse} worse; what a star marks decides"


def _runs(regression: Regression) -> str:
    if not regression.changes:
        return ""
    before, after = (max(one.runs[side] for one in regression.changes) for side in (0, 1))
    return f": {counted(after, 'run')} against {before}"


def summary_lines(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each case that was compared with a baseline, from its record; what several say is said once.

    Recorded runs of one case are all compared at once, and each of them has that in its record.
    """
    said = {
        (f"{one['outcome']}  {record['case']}: {one['reason']}", *(f"  note: {note}" for note in one["notes"])): None
        for record in records
        if (one := record.get("regression"))
    }
    for lines in said:
        yield from lines


def noise_lines(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The A/A noise that was measured: how much two single runs of the same case differ, by metric."""
    for record in records:
        for one in record.get("measured") or ():
            if noise := one.get("noise"):
                floors = noise["log_ratio_p95"]
                chosen = [name for name in COMPARED if name in floors and name in DECIDING]
                shown = ", ".join(f"{name} {math.expm1(floors[name]):.1%}" for name in chosen or floors)
                yield (
                    f"A/A noise of {record['case']}, by {noise['runs']} runs: two runs of the same thing differ by "
                    f"less than this 19 times in 20: {shown}"
                )


def write_comparison(folder: Path, results: Sequence[Baseline], compared: Sequence[Sequence[Regression]]) -> Path:
    """Keep a comparison as ``comparison.json`` in a folder. Raises ResultsError."""
    path = folder / "comparison.json"
    data = {
        "reference": results[0].origin,
        "comparisons": [
            {"results": other.origin, "cases": [one.to_json() for one in regressions]}
            for other, regressions in zip(results[1:], compared, strict=True)
        ],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, data)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written: {error}") from error
    return path
