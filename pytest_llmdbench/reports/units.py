"""How reports show canonical numbers."""

from __future__ import annotations


def show_seconds(value: float | None) -> str:
    """Milliseconds for what people read in them, seconds from 10 s on: ``5.21 ms``, ``12.3 s``; ``-`` where absent."""
    if value is None:
        return "-"
    return f"{value:.1f} s" if value >= 10 else f"{_three(value * 1000)} ms"


def show_pair(first: float | None, second: float | None) -> str:
    """Two times in one unit, that of the larger: ``21.4 / 38.8 ms``; ``-`` where both are absent."""
    known = [value for value in (first, second) if value is not None]
    if not known:
        return "-"
    scale, unit = (1, "s") if max(known) >= 10 else (1000, "ms")
    return " / ".join("-" if value is None else _three(value * scale) for value in (first, second)) + f" {unit}"


def show_rate(value: float | None) -> str:
    """Three significant digits; ``-`` where absent."""
    return "-" if value is None else _three(value)


def show_duration(seconds: float | None) -> str:
    """For people: ``48 s``, ``3 min``, ``1.5 h``; ``unknown`` where nobody can say."""
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _three(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
