"""How reports show canonical numbers, and texts that are too long for their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

#: So many characters before a difference say what it is a difference of.
_BEFORE: Final = 6


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


def show_energy(joules: float) -> str:
    """``820 J``, ``41.2 kJ``, ``1.3 kWh``: the unit that leaves a number people can read."""
    for unit, size in (("kWh", 3.6e6), ("kJ", 1e3)):
        if joules >= size:
            return f"{_three(joules / size)} {unit}"
    return f"{_three(joules)} J"


def show_margin(share: float | None) -> str:
    """How far over the bound: ``+12.0%``; from ten times the bound on, how many times; empty where unknown."""
    if share is None:
        return ""
    return f"x{share + 1:.3g}" if share >= 9 else f"{share:+.1%}"


def shortened(text: str, width: int) -> str:
    """The text, with its middle left out where it is longer than ``width``: ``local-inference...synthetic-rate5``."""
    if len(text) <= width:
        return text
    kept = max(2, width - 3)
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """The names, each :func:`shortened`; those that would then look alike are shown from where they differ.

    Those that are still alike have their number among ``names`` in front.
    """
    short = [shortened(name, width) for name in names]
    counts = Counter(short)
    for text in [text for text, count in counts.items() if count > 1]:
        places = [place for place, one in enumerate(short) if one == text]
        group = [names[place] for place in places]
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(min(group), max(group), strict=False)))
        for place in places:
            rest = f"...{names[place][max(0, alike - _BEFORE) :]}"
            short[place] = rest if len(rest) <= width else f"{rest[: width - 3]}..."
    counts = Counter(short)
    return [
        text if counts[text] == 1 else f"{number}:{shortened(text, width - len(str(number)) - 1)}"
        for number, text in enumerate(short, start=1)
    ]


def _three(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
