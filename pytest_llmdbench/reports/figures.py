"""What the charts of one case show, as plain numbers: from its result, its single requests and its verdict. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.results.result import Distribution, Result, Stage

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import Numbers, RequestTable

#: The latencies that have a curve, as reports call them.
LATENCIES: Final = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "itl": "ITL"}
#: The percentiles that are drawn against the load of a stage.
_DRAWN: Final = (50.0, 99.0)


@dataclass(frozen=True, slots=True)
class Budget:
    """How many points the charts of one case may have, so that a page of many cases stays small."""

    curve: int = 200
    scatter: int = 2000

    @classmethod
    def of(cls, cases: int) -> Budget:
        """The share of each of ``cases`` in what a page can hold."""
        many = max(1, cases)
        return cls(curve=max(12, min(200, 24_000 // many)), scatter=max(50, min(2000, 120_000 // many)))


def figures(
    result: Result, table: RequestTable | None, verdict: Mapping[str, Any], budget: Budget
) -> dict[str, dict[str, Any]]:
    """Charts by name (``curves``, ``load``, ``requests``), without those that there is nothing to draw of.

    Times in seconds, loads in requests a second or at once, shares 0..1; what is absent is None.
    """
    objectives = [_objective(one) for one in verdict.get("objectives") or () if one.get("metric") in LATENCIES]
    found = {
        "curves": _curves(result, table, objectives, budget.curve),
        "load": _load(result, objectives),
        "requests": _requests(result, table, verdict, budget.scatter) if table is not None and len(table) else None,
    }
    return {name: chart for name, chart in found.items() if chart}


def short(value: Any) -> float | None:
    """A number with the four digits that a chart can show; None for what is none, or has no end."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` places of ``count``, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def _objective(one: Mapping[str, Any]) -> dict[str, Any]:
    statistic = str(one.get("statistic") or "")
    share = statistic.removeprefix("p")
    known = {"median": 0.5, "min": 0.0, "max": 1.0}.get(statistic)
    if known is None and statistic.startswith("p") and share.replace(".", "", 1).isdigit():
        known = float(share) / 100
    return {
        "text": str(one.get("objective")),
        "metric": one["metric"],
        "statistic": statistic,
        "share": known,
        "stage": one.get("stage"),
        "bound": short(one.get("bound")),
        "value": short(one.get("value")),
        "low": short(one.get("low")),
        "high": short(one.get("high")),
        "outcome": str(one.get("outcome") or ("PASS" if one.get("met") else "FAIL")),
    }


def _curves(
    result: Result, table: RequestTable | None, objectives: list[dict[str, Any]], most: int
) -> dict[str, Any] | None:
    """The share of the requests that were not slower than a time, for each latency."""
    curves = []
    for name, title in LATENCIES.items():
        curve = _exact(table, name, most) if table is not None and name != "itl" else None
        curve = curve or _told(result.whole.latencies.get(name))
        if curve:
            curves.append({"name": name, "title": title, **curve})
    return {"curves": curves, "objectives": objectives} if curves else None


def _exact(table: RequestTable, name: str, most: int) -> dict[str, Any] | None:
    import numpy as np

    values = np.sort(table.values(name))
    count = len(values)
    if not count:
        return None
    # Half of the points are of the slowest tenth: that is where objectives are.
    ranks = range(count) if count <= most else sorted(
        {int(count * 0.9 * one / (most // 2)) for one in range(most // 2)}
        | {int(count * 0.9) + one for one in evenly(count - int(count * 0.9), most - most // 2)}
    )  # fmt: skip
    return {
        "count": count,
        "times": [short(float(values[rank])) for rank in ranks],
        "shares": [round((rank + 1) / count, 6) for rank in ranks],
    }


def _told(distribution: Distribution | None) -> dict[str, Any] | None:
    """A curve through the percentiles that are known."""
    if distribution is None:
        return None
    points = [(share / 100, value) for share, value in sorted(distribution.percentiles.items())]
    if distribution.minimum is not None:
        points.insert(0, (0.0, distribution.minimum))
    if distribution.maximum is not None:
        points.append((1.0, distribution.maximum))
    if not points:
        return None
    return {
        "count": distribution.count,
        "percentiles": True,
        "times": [short(value) for _, value in points],
        "shares": [round(share, 6) for share, _ in points],
    }


def _load(result: Result, objectives: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Latencies of each stage against its load; nothing to see where there is one stage."""
    if len(result.stages) < 2:
        return None
    loads, unit = loads_of(result.stages)
    lines = []
    for name, title in LATENCIES.items():
        for percentile in _DRAWN:
            times = [
                short(one.percentiles.get(percentile)) if (one := stage.latencies.get(name)) else None
                for stage in result.stages
            ]
            if any(time is not None for time in times):
                lines.append({"name": name, "title": f"{title} p{percentile:g}", "times": times})
    return {"loads": loads, "unit": unit, "lines": lines, "objectives": objectives} if lines else None


def loads_of(stages: Sequence[Stage]) -> tuple[list[float | None], str]:
    """The load of each stage, and its unit: what was asked for, or else what came about."""
    for attribute, unit in (("asked_rate", "requests/s asked"), ("concurrency", "requests at once"),
                            ("achieved_rate", "requests/s sent")):  # fmt: skip
        loads = [short(getattr(stage, attribute)) for stage in stages]
        if all(load is not None for load in loads):
            return loads, unit
    return [float(number) for number in range(len(stages))], "stage"


def _requests(result: Result, table: RequestTable, verdict: Mapping[str, Any], most: int) -> dict[str, Any] | None:
    """Single requests over the time they were sent, from the first; the slowest are always among those drawn."""
    import numpy as np

    sent, stages = table.column("sent"), table.column("stage")
    if np.isnan(sent).all():
        return None
    zero = float(np.nanmin(sent))
    done = table.chosen(None, "completed")
    ttft = table.column("ttft")
    metric = "ttft" if (~np.isnan(ttft[done])).any() else "e2e"
    taken = table.column("ended") - sent
    latency = ttft if metric == "ttft" else taken
    drawn = np.flatnonzero(done & ~np.isnan(latency) & ~np.isnan(sent))
    failed = np.flatnonzero(table.chosen(None, "failed") & ~np.isnan(sent))
    kept, lost = _chosen(drawn, latency, most), failed[evenly(len(failed), most // 4)]
    begins = []
    for run in np.unique(table.runs):
        for number in range(len(result.stages)):
            own = sent[(table.runs == run) & (stages == number)]
            if (~np.isnan(own)).any():
                begins.append((number, float(np.nanmin(own)) - zero, float(np.nanmax(own)) - zero))
    loads, unit = loads_of(result.stages)
    return {
        "metric": metric,
        "zero": zero if zero > 1e9 else None,
        "drawn": len(kept),
        "of": len(drawn),
        "sent": [round(float(sent[one]) - zero, 3) for one in kept],
        "times": [short(float(latency[one])) for one in kept],
        "failed": {
            "of": len(failed),
            "sent": [round(float(sent[one]) - zero, 3) for one in lost],
            "times": [short(float(taken[one])) for one in lost],
        },
        "stages": [[short(begin), f"{loads[number]:g} {unit}"] for number, begin, _ in begins],
        "warmup": [
            [short(begin), short(min(begin + cut, end))]
            for number, begin, end in begins
            if (cut := _cut(verdict.get("warmup_s"), number)) > 0
        ],
    }


def _chosen(drawn: Any, latency: Numbers, most: int) -> list[int]:
    """Which requests are drawn, in their order: the slowest twentieth of ``most``, the rest evenly."""
    import numpy as np

    if len(drawn) <= most:
        return [int(one) for one in drawn]
    slowest = drawn[np.argsort(latency[drawn])[-(most // 20) :]]
    others = drawn[evenly(len(drawn), most - len(slowest))]
    return [int(one) for one in np.union1d(slowest, others)]


def _cut(warmup: Any, stage: int) -> float:
    """Seconds of a stage's beginning that were left out of the verdict; 0 where none were."""
    cut = warmup.get(str(stage), 0.0) if isinstance(warmup, Mapping) else (warmup if stage == 0 else 0.0)
    return float(cut) if isinstance(cut, int | float) else 0.0
