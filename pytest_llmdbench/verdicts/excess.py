"""How far from its bound the worst objective of a run is, as measured: what a search for a rate goes by.

Near the highest rate hardly anything can be proven, for there a share of bad requests is what is allowed. The search
goes by the measured values; what is proven is said beside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.verdicts.judged import Judged

#: What a share of none bad of so many requests counts for: half a request.
_HALF: Final = 0.5


def limits_rate(objective: Objective) -> bool:
    """Whether an objective can be missed by sending more: latencies, goodput and failures; not throughput or cost."""
    return METRICS[objective.metric].form in ("statistic", "bounds") or objective.metric == "error_rate"


def worst_excess(judged: Iterable[Judged]) -> float | None:
    """The logarithm of value over bound of the worst objective: 0 or less if all are met as measured.

    None where one was not reported or its bound is 0 and its value is not.
    """
    found = [_excess(one) for one in judged]
    known = [one for one in found if one is not None]
    return max(known, default=None) if len(known) == len(found) else None


def _excess(judged: Judged) -> float | None:
    objective, value = judged.objective, judged.value
    limit, allowed = objective.bound.limit, objective.allowed
    of_value = None
    if objective.bound.operator.startswith("<") and value is not None:
        of_value = -math.inf if value <= 0 else math.log(value / limit) if limit > 0 else None
    if allowed is None or judged.bad is None or not judged.requests:
        return of_value
    # Failed requests are bad and have no latency: the share of bad ones knows of them, the percentile does not.
    of_share = math.log(max(judged.bad, _HALF) / judged.requests / allowed)
    return of_value if of_value is not None and (of_value > 0) == (of_share > 0) else of_share
