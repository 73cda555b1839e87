"""What the charts of a search for the highest rate show, as plain numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.reports.figures import short

#: So many objectives have a chart.
_MOST: Final = 3


def search_figure(
    found: Mapping[str, Any], objectives: Sequence[Mapping[str, Any]], judged: Sequence[Sequence[Mapping[str, Any]]]
) -> dict[str, Any] | None:
    """Every run of a search at its rate, with a chart an objective; None where no run measured anything.

    ``found`` is what ``RateFound.to_json`` gives, ``objectives`` are those of the case's verdict. ``judged`` has for
    each run of the curve, in its order, the objectives of that run's verdict, which have the intervals; none where the
    verdict is not known. Rates in requests a second, times in seconds, shares 0..1.
    """
    points = [
        (point, known)
        for point, known in zip(found.get("curve") or (), judged, strict=True)
        if short(point.get("rate")) is not None
    ]
    about = {str(one.get("subject")): one for known in (*judged, objectives) for one in known}
    subjects = dict.fromkeys(str(name) for point, _ in points for name in point.get("values") or ())
    charts = [chart for name in subjects if (chart := _chart(name, about.get(name) or {}, points))]
    # What no run missed did not limit the rate, and what is the same at every rate tells nothing of it.
    charts = (
        [one for one in charts if one["missed"]] or [one for one in charts if len(set(one["values"])) > 1] or charts[:1]
    )
    if not charts:
        return None
    asked = found.get("asked") or {}
    return {
        "text": str(found.get("text") or ""),
        "rate": short(found.get("rate")),
        "above": short(found.get("above")),
        "limit": str(found.get("limit") or ""),
        "at_least": short(asked.get("at_least")),
        "runs": [_run(point) for point, _ in points],
        "charts": charts[:_MOST],
    }


def _run(point: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rate": short(point["rate"]),
        "word": run_word(point),
        "outcome": str(point.get("outcome") or ""),
        "full": bool(point.get("full")),
        "requests": point.get("requests"),
    }


def run_word(point: Mapping[str, Any]) -> str:
    """What a run says of its rate: ``proven``, ``met`` as measured, ``missed``, or ``unsound``: nothing."""
    if point.get("outcome") == "INVALID":
        return "unsound"
    if not point.get("met"):
        return "missed"
    return "proven" if point.get("outcome") == "PASS" else "met"


def _chart(
    name: str, about: Mapping[str, Any], points: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]
) -> dict[str, Any] | None:
    """One objective's values with their intervals, in the order of the runs; None where none was measured."""
    values = [short((point.get("values") or {}).get(name)) for point, _ in points]
    if all(value is None for value in values):
        return None
    own = [next((one for one in known if one.get("subject") == name), {}) for _, known in points]
    metric = METRICS.get(str(about.get("metric") or name.partition(".")[0]))
    bound = short(about.get("bound"))
    return {
        "subject": name,
        "text": str(about.get("objective") or name),
        "kind": metric.kind if metric else "number",
        "bound": bound,
        "missed": any(_beyond(value, bound, str(about.get("operator"))) for value in values),
        "values": values,
        "low": [short(one.get("low")) for one in own],
        "high": [short(one.get("high")) for one in own],
    }


def _beyond(value: float | None, bound: float | None, operator: str) -> bool:
    if value is None or bound is None:
        return False
    return value < bound if operator.startswith(">") else value > bound
