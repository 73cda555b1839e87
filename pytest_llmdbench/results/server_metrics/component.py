"""What one component of a stack did over a window: each metric in numbers, and as a series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.results.distributions import distribution
from pytest_llmdbench.results.server_metrics.buckets import together
from pytest_llmdbench.results.server_metrics.names import METRICS, RATES, Combine, Metric
from pytest_llmdbench.results.server_metrics.window import Point, Series

#: A series keeps so many points at most, evenly chosen; its statistics are of all.
MOST_POINTS: Final = 256


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a stack, and its series by canonical name."""

    label: str
    role: str
    pod: str | None
    series: Mapping[str, Sequence[Series]]

    def to_json(self, loaded: range | None) -> dict[str, Any]:
        """As the result keeps it. Gauges are summed up over the rounds ``loaded``; None: over all."""
        aggregate: dict[str, Any] = {}
        series: dict[str, Any] = {}
        for metric in METRICS:
            several = self.series.get(metric.canonical, ())
            if several:
                aggregate |= {metric.canonical: told} if (told := _aggregate(metric, several, loaded)) else {}
                if metric.kind != "histogram":
                    series[metric.canonical] = _series(metric, several)
        for name, hits, queries in RATES:
            points = _rate(self.points(hits), self.points(queries))
            if points:
                # Of all queries of the window: a mean over scrapes would count quiet times as much as busy ones.
                mean = self.increase(hits) / self.increase(queries)
                aggregate[name] = {"kind": "rate", "unit": "fraction", "mean": mean}
                series[name] = {"kind": "rate", "unit": "fraction", "points": _thin(points)}
        label = {"label": self.label, "role": self.role, "pod": self.pod}
        return {**label, "aggregate": aggregate, "series": series}

    def increase(self, canonical: str) -> float:
        """By how much a counter rose, over all its series."""
        return sum(one.increase for one in self.series.get(canonical, ()))

    def points(self, canonical: str) -> tuple[Point, ...]:
        """A counter's increase so far, over all its series."""
        return risen(self.series.get(canonical, ()))


def risen(several: Sequence[Series]) -> tuple[Point, ...]:
    """Several series of a counter as one, their sum; one that is absent from a round stands where it stood."""
    return tuple(Point(number, at, sum(values)) for number, at, values in _rounds(several, ends=False))


def combined(several: Sequence[Series], how: Combine) -> tuple[Point, ...]:
    """Several series of a gauge as one: in each round the sum, mean or highest value of those that are there.

    One that could not be read in a round is taken to be what it was before, until it is there no more.
    """
    return tuple(Point(number, at, _joined(values, how)) for number, at, values in _rounds(several, ends=True))


def gauge_facts(metric: Metric, several: Sequence[Series], loaded: range | None) -> dict[str, float]:
    """Mean, spread and percentiles of a gauge; bounds are those of single series unless they add up."""
    import numpy as np

    values = [one.value for one in combined(several, metric.combine) if loaded is None or one.round in loaded]
    found = distribution(np.array(values, dtype=np.float64))
    if found is None:
        return {}
    single = [p.value for one in several for p in one.points if loaded is None or p.round in loaded]
    ends = values if metric.combine == "sum" else single
    facts = {"mean": found.mean, "stddev": found.stddev, "min": min(ends), "max": max(ends)}
    percentiles = {f"p{one:g}": value for one, value in found.percentiles.items()}
    return {**{key: value for key, value in facts.items() if value is not None}, **percentiles, "count": len(values)}


def _aggregate(metric: Metric, several: Sequence[Series], loaded: range | None) -> dict[str, Any]:
    facts = _facts(metric, several, loaded)
    if not facts:
        return {}
    told = {"kind": metric.kind, "unit": metric.unit, **facts}
    if len(several) == 1:
        return {**told, "labels": dict(several[0].labels)}
    return {**told, "by": [{"labels": dict(one.labels), **_facts(metric, [one], loaded)} for one in several]}


def _facts(metric: Metric, several: Sequence[Series], loaded: range | None) -> dict[str, Any]:
    if metric.kind == "counter":
        return {"increase": sum(one.increase for one in several)}
    if metric.kind == "gauge":
        return dict(gauge_facts(metric, several, loaded))
    merged = together([one.buckets for one in several if one.buckets is not None])
    return merged.to_json(metric.scale) if merged is not None else {}


def _series(metric: Metric, several: Sequence[Series]) -> dict[str, Any]:
    points = risen(several) if metric.kind == "counter" else combined(several, metric.combine)
    told = {"kind": metric.kind, "unit": metric.unit, "points": _thin(points)}
    if len(several) == 1:
        return told
    # A counter has a series for whatever might be counted, and most of that never happens.
    moving = [one for one in several if metric.kind == "gauge" or one.increase]
    return {**told, "by": [{"labels": dict(one.labels), "points": _thin(one.points)} for one in moving]}


def _joined(values: Sequence[float], how: Combine) -> float:
    if how == "max":
        return max(values)
    return sum(values) / (len(values) if how == "mean" else 1)


def _rounds(several: Sequence[Series], *, ends: bool) -> Iterator[tuple[int, float, list[float]]]:
    """Each round with its time and the values in it. ``ends``: a series is over after its last point."""
    times = {point.round: point.at for one in several for point in one.points}
    known = [{point.round: point.value for point in one.points} for one in several]
    last = [max(values, default=-1) if ends else max(times, default=-1) for values in known]
    stood: list[float | None] = [None] * len(several)
    for number in sorted(times):
        stood = [values.get(number, before) for values, before in zip(known, stood, strict=True)]
        there = [value for value, end in zip(stood, last, strict=True) if value is not None and number <= end]
        yield number, times[number], there


def _rate(hits: Iterable[Point], queries: Iterable[Point]) -> list[Point]:
    """Hits for each query between one scrape and the next; nothing where there was no query."""
    hit = {one.round: one.value for one in hits}
    made: list[Point] = []
    before: Point | None = None
    for one in queries:
        if before is not None and one.round in hit and one.value > before.value:
            share = (hit[one.round] - hit.get(before.round, 0.0)) / (one.value - before.value)
            made.append(Point(one.round, one.at, share))
        before = one
    return made


def _thin(points: Sequence[Point]) -> list[list[float]]:
    """Time (seconds since 1970) and value of at most :data:`MOST_POINTS` points, the first and the last among them."""
    chosen = points
    if len(points) > MOST_POINTS:
        step = (len(points) - 1) / (MOST_POINTS - 1)
        chosen = [points[round(index * step)] for index in range(MOST_POINTS)]
    return [[round(one.at, 3), one.value] for one in chosen]
