"""What the stack said of itself during a run as ``results.observability`` of a report, and back.

Ours is ``Result.server["metrics"]`` (see :mod:`pytest_llmdbench.results.server_metrics.summary`). The format has fields
for statistics of gauges and for series; the totals of the whole stack go into our own block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from pytest_llmdbench.results.benchmark_report.statistics import from_statistics, to_statistics
from pytest_llmdbench.results.benchmark_report.units import RESOURCES, SERIES, SERIES_021, UNITS, canonical
from pytest_llmdbench.results.fields import Part
from pytest_llmdbench.results.result import Distribution

#: Our name of a metric -> the report's field for its statistics, and the one for its series.
FIELDS: Final[Mapping[str, tuple[str | None, str | None]]] = {
    "running": ("running_requests", "num_requests_running"),
    "waiting": ("waiting_requests", "num_requests_waiting"),
    "swapped": ("swapped_requests", None),
    "kv_cache_usage": ("kv_cache_usage", "kv_cache_usage"),
    "cpu_cache_usage": ("cpu_cache_usage", "cpu_cache_usage"),
    "gpu_utilization": ("gpu_utilization", "gpu_utilization"),
    "gpu_memory": ("gpu_memory_usage", "gpu_memory_usage"),
    "gpu_power": ("power_consumption", "power_consumption"),
    "preemptions": (None, "num_preemptions"),
    "prefix_cache_queries": (None, "prefix_cache_queries"),
    "prefix_cache_hits": (None, "prefix_cache_hits"),
    "prefix_cache_hit_rate": ("cache_hit_rate", "prefix_cache_hit_rate"),
    "external_prefix_cache_queries": (None, "external_prefix_cache_queries"),
    "external_prefix_cache_hits": (None, "external_prefix_cache_hits"),
    "external_prefix_cache_hit_rate": (None, "external_prefix_cache_hit_rate"),
    "prompt_tokens": (None, "prompt_tokens"),
    "generation_tokens": (None, "generation_tokens"),
    "pool_kv_cache_usage": (None, "pool_avg_kv_cache_utilization"),
    "pool_waiting": (None, "pool_avg_queue_size"),
    "pool_running": (None, "pool_avg_running_requests"),
    "pool_ready_pods": (None, "pool_ready_pods"),
}
#: No value of a metric comes near; also tells NaN and infinity.
_LARGEST: Final = 1e300


def components(server: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``results.observability.components``; what is not in our form is left out: no report is refused for it."""
    made = []
    for one in _objects(server, "components"):
        aggregate, series = {}, {}
        for name, told in _mapping(one.get("aggregate")).items():
            field = FIELDS.get(name, (None, None))[0]
            found = _distribution(_mapping(told)) if field else None
            if field and found is not None:
                aggregate[field] = to_statistics(found, canonical(RESOURCES[field]))
        for name, told in _mapping(one.get("series")).items():
            field = FIELDS.get(name, (None, None))[1]
            points = _points(_mapping(told).get("points")) if field else []
            if field and points:
                series[field] = {"units": canonical(SERIES[field]), "series": points}
        component = {"component_label": str(one.get("label", "unknown"))}
        if one.get("pod") is not None:
            component["replica_id"] = str(one["pod"])
        made.append({**component, "aggregate": aggregate or None, "time_series": series or None})
    return made


def needs_021(made: Sequence[Mapping[str, Any]]) -> bool:
    """Whether components have a series that 0.2 does not know."""
    return any(not SERIES_021.keys().isdisjoint(one["time_series"] or {}) for one in made)


def health(server: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``results.component_health``: restarts of each server that was asked."""
    return [
        {"component_label": str(one.get("label", "unknown")), "total_restarts": restarts}
        for one in _objects(server, "targets")
        if isinstance(restarts := one.get("restarts"), int) and restarts >= 0
    ]


def totals(server: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of the stack as a whole, by our names (``preemptions``, ``running.max``)."""
    found = _mapping(_mapping(server.get("metrics")).get("totals"))
    return {str(name): value for name, value in found.items() if _is_number(value)}


def read_components(report: Part) -> list[dict[str, Any]]:
    """``components`` of a report in our form and canonical units, metrics by our names. Raises ResultsError."""
    statistics = {field: name for name, (field, _) in FIELDS.items() if field}
    names = {field: name for name, (_, field) in FIELDS.items() if field}
    made: list[dict[str, Any]] = []
    for one in report.items("results.observability.components"):
        aggregate: dict[str, Any] = {}
        for field, kind in RESOURCES.items():
            place = f"aggregate.{field}"
            found = from_statistics(one.below(place), kind) if one.get(place) is not None else None
            if found is not None:
                aggregate[statistics.get(field, field)] = {"unit": canonical(kind), **_flat(found)}
        series = {
            names.get(field, field): {
                "unit": canonical(kind), "points": _read_points(one.below(f"time_series.{field}"), kind),
            }
            for field, kind in SERIES.items()
            if one.get(f"time_series.{field}") is not None
        }  # fmt: skip
        identity = {"label": one.text("component_label"), "role": None, "pod": one.text("replica_id")}
        made.append({**identity, "aggregate": aggregate, "series": series})
    return made


def _objects(server: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = _mapping(server.get("metrics")).get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list | tuple) else []


def _distribution(told: Mapping[str, Any]) -> Distribution | None:
    """The statistics of a gauge, or a rate over the whole window; None of a counter, which has but an increase."""
    known = {name: value for name, value in told.items() if _is_number(value)}
    mean = known.get("mean", known.get("value"))
    if mean is None:
        return None
    percentiles = {}
    for name, value in known.items():
        at = name[1:]
        if name[:1] == "p" and at.replace(".", "", 1).isdecimal() and at.isascii() and float(at) <= 100:
            percentiles[float(at)] = value
    return Distribution(mean, known.get("min"), known.get("max"), percentiles, known.get("stddev"))


def _flat(one: Distribution) -> dict[str, float]:
    named = {"mean": one.mean, "min": one.minimum, "max": one.maximum, "stddev": one.stddev}
    percentiles = {f"p{at:g}": value for at, value in one.percentiles.items()}
    return {name: value for name, value in named.items() if value is not None} | percentiles


def _points(found: object) -> list[dict[str, Any]]:
    made = []
    for point in found if isinstance(found, list | tuple) else ():
        if not isinstance(point, list | tuple) or len(point) != 2 or not all(_is_number(part) for part in point):
            continue
        try:
            at = datetime.fromtimestamp(point[0], UTC)
        except (ValueError, OverflowError, OSError):
            continue
        made.append({"ts": at.isoformat(), "value": point[1]})
    return made


def _read_points(part: Part, kind: str) -> list[list[float]]:
    scale = UNITS[kind][str(part.get("units"))]
    points = []
    for point in part.items("series"):
        said = point.text("ts")
        try:
            at = datetime.fromisoformat(said or "")
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, OSError) as error:
            raise point.wrong("ts", "a moment as in 2026-01-01T00:00:00Z", said) from error
        value = point.get("value") if point.get("value") is not None else point.get("mean")
        if _is_number(value):  # a text or a truth value is legal there, too
            points.append([seconds, value * scale])
    return points


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
