"""How the lengths of prompts, or of answers, spread around their mean: what is known of it, and what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from pytest_llmdbench.errors import DeclarationError

#: Where nothing bounds lengths, one in 700 is longer than so many standard deviations above the mean.
_FAR: Final = 3.0


@dataclass(frozen=True, slots=True)
class Spread:
    """The standard deviation of a length and the longest one, tokens; 0 and None where all are of the mean length."""

    stddev: float = 0.0
    most: float | None = None

    def check(self, name: str, mean: float) -> None:
        """Raise DeclarationError on what nobody can mean beside this mean."""
        if not 0 <= self.stddev < math.inf:
            raise DeclarationError(f"{name}: a standard deviation of {self.stddev:g} is not possible; it is 0 or more")
        if self.most is not None and not mean <= self.most < math.inf:
            raise DeclarationError(f"{name}: the longest ({self.most:g} tokens) is shorter than the mean ({mean:g})")

    def longest(self, mean: float) -> float:
        """The longest that has to have a place, tokens: as said, or three standard deviations above the mean."""
        return self.most if self.most is not None else mean + _FAR * self.stddev

    def at(self, percentile: float, mean: float) -> float:
        """The length at a percentile (50..100), tokens, of a normal distribution that ends at the longest."""
        if percentile >= 100:
            return self.longest(mean)
        above = NormalDist().inv_cdf(percentile / 100) * self.stddev
        return min(mean + above, self.longest(mean))

    def biased(self, mean: float) -> float:
        """The mean length of those that are under way at a moment: the longer, the longer they are (E[n²]/E[n])."""
        return mean + self.stddev**2 / mean


#: All of the mean length, as far as anybody says.
FIXED: Final = Spread()


def even_stddev(width: float) -> float:
    """The standard deviation of a length that may be anywhere in a range so wide, tokens."""
    return width / math.sqrt(12)
