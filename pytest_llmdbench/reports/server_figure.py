"""What the chart of the servers over time shows, as plain numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_llmdbench.reports.figures import evenly, short

#: The series that are drawn, by canonical name, and what they are called.
_DRAWN: Final = {
    "waiting": "waiting",
    "running": "running",
    "picker_queue": "queued in the picker",
    "kv_cache_usage": "KV cache in use",
    "prefix_cache_hit_rate": "prefix cache hits",
    "gpu_utilization": "GPU busy",
}
#: So many points at most are drawn of one series, and of all together.
_ONE: Final = 256
_ALL: Final = 2048
#: Components that have a line of their own; of more, the busiest ones.
_MOST: Final = 8


def server_figure(metrics: Any, zero: float | None, most: int) -> dict[str, Any] | None:
    """Lines of queue, running requests and KV cache over seconds; None where nothing was scraped.

    Takes what ``Result.server["metrics"]`` holds. ``zero`` is when the first request was sent, in seconds since 1970;
    where it is not known, time begins with the load or the first point. ``most`` bounds the points of all lines.
    """
    components = metrics.get("components") if isinstance(metrics, Mapping) else None
    if not isinstance(components, list | tuple):
        return None
    found = [line for component in components if isinstance(component, Mapping) for line in _lines(component)]
    if not found:
        return None
    found = _busiest(found)
    loaded = metrics.get("loaded")
    begin, end = loaded if isinstance(loaded, list | tuple) and len(loaded) == 2 else (None, None)
    start = zero if zero is not None else begin if begin is not None else min(one["points"][0][0] for one in found)
    each = max(8, min(_ONE, min(_ALL, most) // len(found)))
    lines = []
    for one in found:
        kept = [one["points"][place] for place in evenly(len(one["points"]), each)]
        seconds, values = [round(at - start, 2) for at, _ in kept], [short(value) for _, value in kept]
        lines.append({**one, "points": None, "seconds": seconds, "values": values})
    bounds = [round(begin - start, 2), round(end - start, 2)] if begin is not None and end is not None else None
    return {"lines": [{key: value for key, value in one.items() if value is not None} for one in lines],
            "loaded": bounds}  # fmt: skip


def _lines(component: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    series = component.get("series")
    if not isinstance(series, Mapping):
        return
    for name, title in _DRAWN.items():
        one = series.get(name)
        points = one.get("points") if isinstance(one, Mapping) else None
        read = [(float(at), float(value)) for at, value in points or ()]
        if read:
            share = isinstance(one, Mapping) and one.get("unit") == "fraction"
            yield {"title": title, "component": str(component.get("label") or "server"), "share": share, "points": read}


def _busiest(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of the components whose lines reach highest, where there are very many."""
    peaks: dict[str, float] = {}
    for line in lines:
        peak = max(value for _, value in line["points"])
        peaks[line["component"]] = max(peak, peaks.get(line["component"], 0.0))
    kept = set(sorted(peaks, key=lambda name: -peaks[name])[:_MOST])
    return [line for line in lines if line["component"] in kept]
