"""A distribution as the report's ``Statistics``, and back.

Statistics have units and a mean at least. Further keys are legal in them and are ignored by others: the count of
values, and percentiles that the format has no name for.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Any, Final

from pytest_llmdbench.results.benchmark_report.units import UNITS
from pytest_llmdbench.results.fields import Part
from pytest_llmdbench.results.result import Distribution

_NAMED: Final = {"mean": "mean", "stddev": "stddev", "min": "minimum", "max": "maximum"}
#: ``p50``, ``p99p9``; and ``P25``, as llm-d-benchmark's converter of vLLM's files says.
_PERCENTILE: Final = re.compile(r"[pP](\d{1,3}(?:p\d{1,12})?)")


def to_statistics(distribution: Distribution, unit: str) -> dict[str, Any]:
    """What is known of a distribution, in the report's words; values that are no numbers are left out."""
    found: dict[str, float | None] = {key: getattr(distribution, name) for key, name in _NAMED.items()}
    found |= {_key(percentile): value for percentile, value in sorted(distribution.percentiles.items())}
    if found["stddev"] is not None and found["stddev"] < 0:
        found["stddev"] = None
    kept = {key: value for key, value in found.items() if value is not None and math.isfinite(value)}
    counted = {} if distribution.count is None else {"count": distribution.count}
    return {"units": unit, **kept, **counted}


def from_statistics(part: Part, kind: str) -> Distribution | None:
    """The distribution in canonical units; None where there is neither a mean nor a percentile. Raises ResultsError."""
    unit = part.get("units")
    if not isinstance(unit, str) or unit not in UNITS[kind]:
        raise part.wrong("units", f"one of {', '.join(UNITS[kind])}", unit)
    scale = UNITS[kind][unit]
    named = {name: part.number(key, scale) for key, name in _NAMED.items()}
    percentiles: dict[float, float] = {}
    for key, value in part.data.items():
        match = _PERCENTILE.fullmatch(key) if isinstance(key, str) else None
        at = float(match[1].replace("p", ".")) if match else math.inf
        number = part.checked(key, value, scale) if at <= 100 else None
        if number is not None:
            percentiles[at] = number
    if named["mean"] is None and not percentiles:
        return None
    return Distribution(percentiles=dict(sorted(percentiles.items())), count=part.count("count"), **named)


@lru_cache(maxsize=64)  # every distribution has the same ones
def _key(percentile: float) -> str:
    return "p" + f"{percentile:.12f}".rstrip("0").rstrip(".").replace(".", "p")
