"""What the page says of a case besides its SLO: how it compares with a baseline, and the curve of a rate search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmdbench.reports.units import show_rate, show_seconds


def regression_table(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Outcome, reason and a row for each metric of a comparison with a baseline; None where there was none."""
    said = record.get("regression")
    if not isinstance(said, Mapping):
        return None
    rows = [
        [
            str(one.get("metric")), str(one.get("outcome")), _value(one, "before"), _value(one, "after"),
            _share(one.get("ratio")), f"{_share(one.get('low'))} .. {_share(one.get('high'))}",
            _size(one.get("margin")),
        ]
        for one in said.get("metrics") or ()
    ]  # fmt: skip
    about = {key: str(said.get(key) or "") for key in ("outcome", "reason", "baseline")}
    return {**about, "notes": [str(note) for note in said.get("notes") or ()], "rows": rows}


def rate_table(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a search for the highest rate found, and its curve, a row a run; None where nobody searched."""
    found = record.get("max_rate")
    if not isinstance(found, Mapping):
        return None
    rows = []
    for one in found.get("curve") or ():
        values = ", ".join(
            f"{name} {value:.4g}" for name, value in (one.get("values") or {}).items() if value is not None
        )
        rate = one.get("rate")
        rows.append(
            [
                "-" if rate is None else f"{rate:.4g}/s", show_rate(one.get("throughput")), str(one.get("outcome")),
                "full" if one.get("full") else "short", str(one.get("requests") or ""), values,
            ]
        )  # fmt: skip
    return {"text": str(found.get("text") or ""), "runs": found.get("runs"), "rows": rows}


def _value(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    if not isinstance(value, int | float):
        return "-"
    return show_seconds(value) if one.get("unit") == "s" else f"{value:.4g}{one.get('unit') or ''}"


def _share(ratio: Any) -> str:
    """A ratio as what it is above or below 1."""
    return f"{ratio - 1:+.1%}" if isinstance(ratio, int | float) else "?"


def _size(margin: Any) -> str:
    return f"{margin:.1%}" if isinstance(margin, int | float) else "?"
