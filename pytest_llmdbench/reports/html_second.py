"""What the page says of a case besides its SLO: how it compares with a baseline, and the curve of a rate search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.reports.search_figure import run_word
from pytest_llmdbench.reports.units import show_rate, show_seconds

#: Words of a comparison in the order that tables and charts show them.
ORDER: Final = ("REGRESSION", "INCONCLUSIVE", "NO REGRESSION")
#: What a run says of its rate, as the table has it.
_MEASURED: Final = {"proven": "met", "met": "met", "missed": "missed", "unsound": "not sound"}


def regression_table(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Outcome, reason and a row for each metric of a comparison with a baseline; None where there was none."""
    said = record.get("regression")
    if not isinstance(said, Mapping):
        return None
    rows = [
        [
            f"{one.get('metric')}{' *' if one.get('decides') else ''}", str(one.get("outcome")),
            value_text(one, "before"), value_text(one, "after"), change_text(one.get("ratio")),
            f"{change_text(one.get('low'))} .. {change_text(one.get('high'))}", _size(one.get("margin")),
        ]
        for one in by_weight(said.get("metrics") or ())
    ]  # fmt: skip
    about = {key: str(said.get(key) or "") for key in ("outcome", "reason", "baseline")}
    return {**about, "notes": [str(note) for note in said.get("notes") or ()], "rows": rows}


def by_weight(metrics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The metrics of a comparison, those that decide first and what got worse first among them."""

    def weight(one: Mapping[str, Any]) -> tuple[bool, int]:
        word = str(one.get("outcome"))
        return not one.get("decides"), ORDER.index(word) if word in ORDER else len(ORDER)

    return sorted(metrics, key=weight)


def rate_table(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a search for the highest rate found, and its curve, a row a run; None where nobody searched."""
    found = search_of(record)
    if found is None:
        return None
    rows = []
    for one in found.get("curve") or ():
        values = ", ".join(
            f"{name} {_objective_value(name, value)}"
            for name, value in (one.get("values") or {}).items()
            if value is not None
        )
        rate = one.get("rate")
        rows.append(
            [
                "-" if rate is None else f"{rate:.4g}/s", show_rate(one.get("throughput")),
                _MEASURED[run_word(one)], str(one.get("outcome")),
                "full" if one.get("full") else "short", str(one.get("requests") or ""), values,
            ]
        )  # fmt: skip
    return {"text": str(found.get("text") or ""), "runs": found.get("runs"), "rows": rows}


def search_of(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a search found: in the record, or of a run that was recorded in its folder; None where nobody searched."""
    found: Any = record.get("max_rate")
    if found is None and record.get("folder"):
        from pytest_llmdbench.max_rate import FILE

        try:
            found = json.loads((Path(record["folder"]) / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
    curve = found.get("curve") if isinstance(found, Mapping) else None
    return found if isinstance(curve, list) and all(isinstance(one, Mapping) for one in curve) else None


def value_text(one: Mapping[str, Any], name: str) -> str:
    """A value of a compared metric in the unit people read; ``-`` where there is none."""
    value = one.get(name)
    if not isinstance(value, int | float):
        return "-"
    return show_seconds(value) if one.get("unit") == "s" else f"{value:.4g}{one.get('unit') or ''}"


def change_text(ratio: Any) -> str:
    """A ratio as what it is above or below 1, without the sign of hardly anything: ``+0.0%``."""
    return f"{round(ratio - 1, 3) + 0.0:+.1%}" if isinstance(ratio, int | float) else "?"


def _objective_value(subject: str, value: float) -> str:
    """The value of an objective, in the unit that its metric is read in."""
    metric = METRICS.get(subject.partition(".")[0].partition("(")[0].partition("@")[0])
    match metric.kind if metric else "number":
        case "time":
            return show_seconds(value)
        case "share":
            return f"{value * 100:.4g}%"
        case _:
            return f"{value:.4g}"


def _size(margin: Any) -> str:
    return f"{margin:.1%}" if isinstance(margin, int | float) else "?"
