"""By how much the runs of one group differ from those of another: few values, whatever their distribution.

The shift is the median of all differences between two runs of different groups (Hodges and Lehmann 1963). Its interval
and the probability of a chance finding come from the exact null distribution of Mann and Whitney's U (1947), so that
they agree: the interval is above zero just where the test finds a shift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, median, stdev
from typing import Final

#: One-sided chance of a false finding, and what each end of an interval leaves out at most.
LEVEL: Final = 0.05
#: So sure a planned number of runs is of finding what is there.
POWER: Final = 0.9
#: Groups whose sizes multiply to more are told by the normal approximation.
_EXACT: Final = 2500


@dataclass(frozen=True, slots=True)
class Shift:
    """How much larger the later values are: estimate, interval (None where there are too few for one) and chance.

    ``chance`` is the probability of a shift up as large as this between groups that are alike.
    """

    estimate: float
    low: float | None
    high: float | None
    chance: float


def shift(before: Sequence[float], after: Sequence[float]) -> Shift:
    """The shift from ``before`` to ``after``; both hold a value at least."""
    differences = sorted(later - earlier for later in after for earlier in before)
    larger = sum((one > 0) + (one == 0) / 2 for one in differences)
    left_out = _left_out(len(before), len(after))
    return Shift(
        median(differences),
        None if left_out is None else differences[left_out],
        None if left_out is None else differences[-1 - left_out],
        _at_most(len(differences) - larger, len(before), len(after)),
    )


def spread(*groups: Sequence[float]) -> float | None:
    """The standard deviation within groups, of all together; None where no group has two values."""
    known = [group for group in groups if len(group) > 1]
    if not known:
        return None
    squares = sum(stdev(group) ** 2 * (len(group) - 1) for group in known)
    return math.sqrt(squares / sum(len(group) - 1 for group in known))


def runs_to_tell(deviation: float, size: float) -> int:
    """Runs in each of two groups that find a shift of ``size`` nine times in ten, by normal theory; 2 at least."""
    quantiles = NormalDist().inv_cdf(1 - LEVEL) + NormalDist().inv_cdf(POWER)
    return max(2, math.ceil(2 * (quantiles * deviation / size) ** 2))


def _left_out(first: int, second: int) -> int | None:
    """How many differences an interval leaves out on each side; None where it could leave out none."""
    left_out = None
    for count in range(first * second // 2):
        if _at_most(count, first, second) > LEVEL:
            break
        left_out = count
    return left_out


def _at_most(count: float, first: int, second: int) -> float:
    """The probability of a U of at most ``count`` between groups that are alike."""
    if first * second > _EXACT:
        mean, deviation = first * second / 2, math.sqrt(first * second * (first + second + 1) / 12)
        return NormalDist(mean, deviation).cdf(count + 0.5)
    ways = _ways(*sorted((first, second)))
    # Half a count, of equal values, is rounded to the side that finds less.
    return sum(ways[: math.ceil(count) + 1]) / math.comb(first + second, first)


@cache
def _ways(first: int, second: int) -> tuple[int, ...]:
    """In how many orders of two groups U is 0, 1, 2, ...: the coefficients of a Gaussian binomial."""
    size = first * second + 1
    ways = [1] + [0] * (size - 1)
    for step in range(1, first + 1):
        for place in range(size - 1, second + step - 1, -1):
            ways[place] -= ways[place - second - step]
        for place in range(step, size):
            ways[place] += ways[place - step]
    return tuple(ways)
