"""Counting values in bounded memory: fine logarithmic buckets for our own figures, given bounds for Prometheus."""

from __future__ import annotations

import math
from bisect import bisect_left

_SMALLEST = 1e-6
_GROWTH = 1.01
_PER_BUCKET = 1 / math.log(_GROWTH)
_BUCKETS = int(math.log(1e11) * _PER_BUCKET) + 2


class LogHistogram:
    """Mean exact, quantiles within 1 %, for values from a microsecond to a day; always the same size."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.smallest = math.inf
        self.largest = 0.0
        self._buckets: dict[int, int] = {}

    def observe(self, value: float, count: int = 1) -> None:
        """Count ``value`` (0 or more) ``count`` times."""
        index = int(math.log(value / _SMALLEST) * _PER_BUCKET) + 1 if value > _SMALLEST else 0
        index = min(index, _BUCKETS)
        self._buckets[index] = self._buckets.get(index, 0) + count
        self.count += count
        self.total += value * count
        self.smallest = min(self.smallest, value)
        self.largest = max(self.largest, value)

    @property
    def mean(self) -> float:
        """The mean of all values; 0 without any."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """The value that ``share`` (0 to 1) of all values do not exceed; 0 without any."""
        wanted = share * self.count
        seen = 0
        for index in sorted(self._buckets):
            seen += self._buckets[index]
            if seen >= wanted:
                middle = _SMALLEST * _GROWTH ** (index - 0.5) if index else 0.0
                return max(self.smallest, min(middle, self.largest))
        return 0.0

    def summary(self) -> dict[str, float | None]:
        """Count, mean, p50, p90, p99 and max; None where there is no value."""
        if not self.count:
            return {"count": 0, "mean": None, "p50": None, "p90": None, "p99": None, "max": None}
        quantiles = {f"p{share}": self.quantile(share / 100) for share in (50, 90, 99)}
        return {"count": self.count, "mean": self.mean, **quantiles, "max": self.largest}


class BucketHistogram:
    """A Prometheus histogram: how many values are at or below each bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count ``value`` ``count`` times."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.total += value * count
