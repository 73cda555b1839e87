"""A histogram as servers keep it: how many observations were not above each of some bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: The percentiles that are estimated from buckets.
_PERCENTILES = (50.0, 90.0, 95.0, 99.0)


@dataclass(frozen=True, slots=True)
class Buckets:
    """The observations of a window. ``reached`` maps each finite bound, ascending, to how many were not above it."""

    count: float
    total: float | None
    reached: Mapping[float, float]

    @property
    def mean(self) -> float | None:
        """The mean of the observations, exact; None where there was none."""
        return self.total / self.count if self.count and self.total is not None else None

    def percentile(self, wanted: float) -> float | None:
        """A percentile, taken as evenly spread within its bucket; None where it is above the highest bound.

        The estimate is that of Prometheus' ``histogram_quantile``, which gives the highest bound in that case.
        """
        rank, below, lower = self.count * wanted / 100, 0.0, 0.0
        if not self.count:
            return None
        for bound, reached in self.reached.items():
            if reached >= rank:
                if bound <= 0 or reached <= below:
                    return bound
                return lower + (bound - lower) * (rank - below) / (reached - below)
            below, lower = max(below, reached), bound
        return None

    def to_json(self, scale: float) -> dict[str, object]:
        """Count, sum, mean, percentiles and buckets (bound, observations not above it), values times ``scale``."""
        known = {f"p{one:g}": value * scale for one, value in self.percentiles().items()}
        total = {} if self.total is None else {"sum": self.total * scale}
        mean = {} if self.mean is None else {"mean": self.mean * scale}
        buckets = [[bound * scale, reached] for bound, reached in self.reached.items()]
        return {"count": self.count, **total, **mean, **known, "buckets": buckets}

    def percentiles(self) -> dict[float, float]:
        """The percentiles that can be told."""
        told = ((one, self.percentile(one)) for one in _PERCENTILES)
        return {one: value for one, value in told if value is not None}


def together(several: Sequence[Buckets]) -> Buckets | None:
    """The observations of several histograms; None where there is none, or where their bounds differ."""
    if not several or any(list(one.reached) != list(several[0].reached) for one in several):
        return None
    totals = [one.total for one in several]
    known = [one for one in totals if one is not None]
    return Buckets(
        sum(one.count for one in several),
        sum(known) if len(known) == len(totals) else None,
        {bound: sum(one.reached[bound] for one in several) for bound in several[0].reached},
    )
