"""How reports show canonical numbers, and texts that are too long for their place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby


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
    """The names, each :func:`shortened`; of those that would then look alike, the parts in which they differ.

    ``...max_num_seqs64...rate2``. Those that are still alike have their number among ``names`` in front.
    """
    short = [shortened(name, width) for name in names]
    alike = [place for place, count in enumerate(map(Counter(short).get, short)) if count != 1]
    for place, text in zip(alike, _differing([names[place] for place in alike]), strict=True):
        short[place] = text if len(text) <= width else shortened(text.strip("."), width)
    counts = Counter(short)
    return [
        text if counts[text] == 1 else f"{number}:{shortened(name, width - len(str(number)) - 1)}"
        for number, (name, text) in enumerate(zip(names, short, strict=True), start=1)
    ]


def _differing(names: Sequence[str]) -> list[str]:
    """Names that are parts joined by ``-``, without the parts that all of them have."""
    split = [name.split("-") for name in names]
    common = set.intersection(*map(set, split)) if split else set()
    pieces = [[(shared, "-".join(parts)) for shared, parts in groupby(one, common.__contains__)] for one in split]
    return ["".join("..." if shared else text for shared, text in one) for one in pieces]


def _three(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
