"""What one target counted over a window: counters by their increase, gauges as series, histograms by bucket."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pytest_llmdbench.results.server_metrics.buckets import Buckets
from pytest_llmdbench.results.server_metrics.exposition import Labels, Samples
from pytest_llmdbench.results.server_metrics.names import BY_NAME, PROCESS_START, Metric

#: The parts of a histogram, as the ends of its samples' names.
_PARTS: Final = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a series: in which round of scrapes, when (seconds since 1970), how much.

    Of a counter the value is its increase since the window's begin.
    """

    round: int
    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """One metric with one set of labels, over the window; canonical units. A histogram has ``buckets`` alone."""

    labels: Mapping[str, str]
    points: tuple[Point, ...] = ()
    buckets: Buckets | None = None

    @property
    def increase(self) -> float:
        """By how much a counter rose."""
        return self.points[-1].value if self.points else 0.0


@dataclass(slots=True)
class Window:
    """What a target says, scrape by scrape.

    ``fresh``: it came up within the window, so what it has counted at its first scrape was counted in it. A counter
    that went back began again at 0 with its process, and so did all others of the target: what they had counted
    between the last scrape and that end is lost.
    """

    fresh: bool = False
    scrapes: int = 0
    restarts: int = 0
    _last: dict[tuple[str, Labels], float] = field(default_factory=dict)
    _risen: dict[tuple[str, Labels], float] = field(default_factory=dict)
    _points: dict[tuple[str, Labels], list[Point]] = field(default_factory=dict)
    _started: float | None = None

    def add(self, number: int, at: float, samples: Samples) -> None:
        """Take in one scrape: of round ``number``, at ``at`` seconds since 1970."""
        restarted = self._restarted(samples)
        self.restarts += restarted
        first = self.scrapes == 0
        self.scrapes += 1
        for name, values in samples.items():
            metric = BY_NAME.get(name)
            for labels, value in values.items():
                if metric is not None and metric.kind == "gauge":
                    self._points.setdefault((name, labels), []).append(Point(number, at, value * metric.scale))
                elif name != PROCESS_START:
                    self._count(name, labels, value, restarted=restarted, first=first)
                    if metric is not None:
                        risen = Point(number, at, self._risen[name, labels] * metric.scale)
                        self._points.setdefault((name, labels), []).append(risen)

    @property
    def known(self) -> int:
        """How many series there were so far."""
        return len(self._last) + sum(key not in self._last for key in self._points)

    @property
    def started(self) -> float | None:
        """Since when the target's process runs, seconds since 1970, if it says."""
        return self._started

    def series(self, metric: Metric) -> list[Series]:
        """All series of a metric, under the first of its names that the target has."""
        for name in metric.names:
            found = list(self._buckets(name) if metric.kind == "histogram" else self._series(name))
            if found:
                return found
        return []

    def _restarted(self, samples: Samples) -> bool:
        """Whether the target's process is another one than at the last scrape."""
        told = samples.get(PROCESS_START, {}).get(())
        before, self._started = self._started, told if told is not None else self._started
        if before is not None and told is not None and told != before:
            return True
        return any(
            value < self._last.get((name, labels), -math.inf)
            for name, values in samples.items()
            if _only_rises(name)
            for labels, value in values.items()
        )

    def _count(self, name: str, labels: Labels, value: float, *, restarted: bool, first: bool) -> None:
        key = (name, labels)
        # A series that was not there before begins at 0, but for the first look at a target that is older.
        start = value if first and not self.fresh else 0.0
        before = 0.0 if restarted else self._last.get(key, start)
        self._risen[key] = self._risen.get(key, 0.0) + value - before
        self._last[key] = value

    def _series(self, name: str) -> Iterator[Series]:
        for (one, labels), points in self._points.items():
            if one == name:
                yield Series(dict(labels), tuple(points))

    def _buckets(self, name: str) -> Iterator[Series]:
        reached: dict[Labels, dict[float, float]] = {}
        for (one, labels), risen in self._risen.items():
            if one == f"{name}_bucket":
                own = tuple(label for label in labels if label[0] != "le")
                bound = _bound(dict(labels).get("le", ""))
                if bound is not None:
                    reached.setdefault(own, {})[bound] = risen
        for labels, bounds in reached.items():
            count = self._risen.get((f"{name}_count", labels), bounds.get(math.inf))
            if count is None:
                continue
            finite = {bound: bounds[bound] for bound in sorted(bounds) if bound < math.inf}
            yield Series(dict(labels), buckets=Buckets(count, self._risen.get((f"{name}_sum", labels)), finite))


def _only_rises(name: str) -> bool:
    """Whether a sample is of a counter; the sum of a histogram may fall where values may be negative."""
    metric = BY_NAME.get(name)
    return metric.kind == "counter" if metric is not None else name.endswith(("_bucket", "_count"))


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) or bound == -math.inf else bound
