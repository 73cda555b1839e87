"""What a test asks of a search for the highest rate: ``@pytest.mark.max_rate(low=1, high=50, tolerance="5%")``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError, nearest

KEYS: Final = ("low", "high", "tolerance", "at_least", "seconds")
TOLERANCE: Final = 0.05


@dataclass(frozen=True, slots=True)
class RateRange:
    """Rates in requests a second.

    ``tolerance`` is how near the answer has to be, as a share of it. ``at_least`` is what the test demands; None: it
    only asks. ``seconds`` is how long a run lasts at least; None: nobody said.
    """

    low: float
    high: float
    tolerance: float = TOLERANCE
    at_least: float | None = None
    seconds: float | None = None


def check_keys(given: Mapping[str, Any], origin: str) -> None:
    """Raises DeclarationError for a word that is none of a search's."""
    for key in given:
        if key not in KEYS:
            raise DeclarationError(f"{origin}: a search for the highest rate has no '{key}='; {nearest(key, KEYS)}")


def rate_range(given: Mapping[str, Any], origin: str) -> RateRange:
    """Read what was given. Raises DeclarationError naming the word that is absent or cannot be meant."""
    check_keys(given, origin)
    for key in ("low", "high"):
        if given.get(key) is None:
            raise DeclarationError(
                f"{origin}: say where to look for the highest rate, in requests/s: low=1, high=50; '{key}=' is absent. "
                "'high' should be about twice what the stack can serve: the first run is there"
            )
    low, high = _number(given, "low", origin), _number(given, "high", origin)
    at_least = _number(given, "at_least", origin) if given.get("at_least") is not None else None
    if low >= high:
        raise DeclarationError(f"{origin}: low={low:g} must be below high={high:g}")
    if at_least is not None and not low <= at_least <= high:
        raise DeclarationError(f"{origin}: at_least={at_least:g} must be from low={low:g} to high={high:g}")
    seconds = _number(given, "seconds", origin) if given.get("seconds") is not None else None
    return RateRange(low, high, _tolerance(given.get("tolerance", TOLERANCE), origin), at_least, seconds)


def _number(given: Mapping[str, Any], key: str, origin: str) -> float:
    value = given[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise DeclarationError(f"{origin}: {key}= must be a number above 0 (given: {value!r})")
    return float(value)


def _tolerance(value: Any, origin: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*%\s*", value) if isinstance(value, str) else None
    share: Any = float(match[1]) / 100 if match else value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.005 <= share <= 0.5:
        raise DeclarationError(f'{origin}: tolerance= must be from "0.5%" to "50%" (given: {value!r})')
    return float(share)
