"""One value a metric for a whole run, and how uncertain it is within the run: what runs are compared by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pytest_llmdbench.declared.metrics import METRICS, Metric
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.verdicts.dependence import dependence

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import Numbers

#: The statistics of a latency that are kept of a run.
STATISTICS: Final = ("mean", "p50", "p90", "p99")
#: Kinds of metrics whose values have a ratio: a share of failures is mostly zero.
_KINDS: Final = ("time", "rate", "money", "energy")
#: Latencies that are one number a request.
_BY_REQUEST: Final = ("ttft", "tpot", "e2e", "normalized_tpot")


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric that runs are compared by: ``ttft.p99``, ``output_tokens_per_second``."""

    name: str
    metric: Metric
    statistic: str | None = None

    @property
    def lower_is_better(self) -> bool:
        """Whether a rise is for the worse."""
        return bool(self.metric.lower_is_better)


def _compared() -> Iterator[Compared]:
    for metric in METRICS.values():
        if metric.kind in _KINDS and metric.form == "statistic":
            yield from (Compared(f"{metric.name}.{one}", metric, one) for one in STATISTICS)
        elif metric.kind in _KINDS and metric.form == "plain":
            yield Compared(metric.name, metric)


#: Everything that runs are compared by, in the order that tables show it.
COMPARED: Final = {one.name: one for one in _compared()}


def values_of(result: Result) -> dict[str, float]:
    """The run's own values in canonical units, by :data:`COMPARED`'s names; those absent or not above 0 left out."""
    found: dict[str, float | None] = {}
    for name, one in COMPARED.items():
        if one.statistic:
            distribution = result.whole.latencies.get(one.metric.name)
            found[name] = distribution.statistic(one.statistic) if distribution else None
        elif one.metric.kind == "rate":
            found[name] = getattr(result.whole, name)
        else:
            found[name] = result.economy.get(name)
    return {name: float(value) for name, value in found.items() if value is not None and 0 < value < math.inf}


def errors_of(result: Result) -> dict[str, float]:
    """The standard error of the logarithm of each value that single requests tell of; empty where there are none.

    It knows of the run's own requests and how they depend on each other, not of how runs differ from one another.
    """
    from pytest_llmdbench.results.table import RequestTable
    from pytest_llmdbench.verdicts.sample import Sample

    if result.table is None or not result.table.is_file():
        return {}
    sample = Sample(RequestTable(result.table), None, {})
    found: dict[str, float | None] = {}
    for metric in _BY_REQUEST:
        careful = sample.factor(metric)
        values = sample.latencies(metric)
        for statistic in STATISTICS:
            error = (
                mean_error(values, careful)
                if statistic == "mean"
                else percentile_error(values, float(statistic[1:]), careful)
            )
            found[f"{metric}.{statistic}"] = error
    return {name: error for name, error in found.items() if error is not None}


def mean_error(values: Numbers, careful: float) -> float | None:
    """The relative standard error of a mean of values that depend on each other by a factor of ``careful``."""
    if len(values) < 2 or not values.mean() > 0:
        return None
    return float(values.std(ddof=1) / values.mean() * math.sqrt(careful / len(values)))


def percentile_error(values: Numbers, percentile: float, careful: float) -> float | None:
    """The same of a percentile, from the ranks one standard error of a share to both sides (Woodruff 1952).

    None where there are too few values above it to tell.
    """
    import numpy as np

    if len(values) < 2:
        return None
    share = percentile / 100
    factor = max(careful, dependence(values > np.quantile(values, share)))
    step = math.sqrt(share * (1 - share) * factor / len(values))
    if share + step > 1 - 1 / len(values) or share - step < 1 / len(values):
        return None
    low, high = np.quantile(values, [share - step, share + step])
    return float(math.log(high / low) / 2) if low > 0 else None
