"""Durations as people write them: ``90s``, ``30m``, ``4h``, ``2d``."""

from __future__ import annotations

import re
from typing import Final

from pytest_llmdbench.errors import DeclarationError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str, origin: str) -> float:
    """How many seconds a duration is. Raises DeclarationError, which says where it stands."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if match is None or float(match[1]) <= 0:
        raise DeclarationError(f"{origin}: expected a duration like 90s, 30m, 4h or 2d, found {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def shown(duration_s: float) -> str:
    """A duration in its largest whole unit: ``4 h``, ``90 s``."""
    for unit in ("d", "h", "m"):
        if duration_s >= _UNITS[unit] and duration_s % _UNITS[unit] == 0:
            return f"{duration_s / _UNITS[unit]:.0f} {unit.replace('m', 'min').replace('d', 'days')}"
    return f"{duration_s:.0f} s"
