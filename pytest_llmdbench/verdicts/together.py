"""The chance of a finding among several metrics of the same runs: each more looked at finds more that is chance.

Which run is of which group is dealt anew in all ways, with all metrics of a run together, and the largest of the
metrics' statistics is looked at (Westfall and Young 1993). It knows how metrics depend on each other: p50 and p99 of
the same runs count for little more than one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

#: So many ways of dealing are looked at where there are more; drawn by a fixed seed, so that a verdict stays the same.
_MOST: Final = 5000


def chances(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> list[float]:
    """For each metric, the chance that any of them shifts up as far as it does between groups that are alike.

    Each run is a list of values, one a metric, all of the same length.
    """
    import numpy as np

    runs = np.array([*before, *after], dtype=float)
    first = len(before)
    found = _statistics(runs, np.arange(first, len(runs)))
    largest = np.array([_statistics(runs, chosen).max() for chosen in _dealt(len(runs), len(after))])
    # Rounding must not make a way of dealing smaller than itself.
    return [float((largest >= one - 1e-9 * abs(one)).mean()) for one in found]


def _dealt(runs: int, after: int) -> Iterator[Any]:
    import numpy as np

    if math.comb(runs, after) <= _MOST:
        yield from (np.array(chosen) for chosen in combinations(range(runs), after))
        return
    random = np.random.default_rng(1)
    yield np.arange(runs - after, runs)
    yield from (random.permutation(runs)[:after] for _ in range(_MOST - 1))


def _statistics(runs: np.ndarray[Any, Any], chosen: Any) -> Any:
    """Each metric's difference of means, in units of the spread within groups."""
    import numpy as np

    new = np.zeros(len(runs), dtype=bool)
    new[chosen] = True
    difference = runs[new].mean(axis=0) - runs[~new].mean(axis=0)
    within = runs[new].var(axis=0) * new.sum() + runs[~new].var(axis=0) * (~new).sum()
    return difference / np.sqrt(within + 1e-18)
