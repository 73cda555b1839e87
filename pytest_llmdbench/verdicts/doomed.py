"""Whether a running load can still pass: watched request by request, at any time, without losing the error bound.

An e-process: the likelihood of what was seen when the true share of bad requests is drawn from a prior above what is
allowed, against the largest likelihood within what is allowed. By Ville's inequality it exceeds 20 with probability
0.05 at most, ever, if the true share is allowed (Wald 1945; Howard et al. 2021). The prior is Beta(1, 1/allowed),
truncated to shares above the allowed one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

#: At this evidence a run is given up: 1 in 20 of sound runs would ever reach it.
ENOUGH: Final = 20.0


@dataclass(slots=True)
class Doom:
    """The evidence that a share of bad requests is over ``allowed``; fed with counts as they come."""

    allowed: float
    bad: int = 0
    number: int = 0

    def seen(self, bad: int, number: int) -> float:
        """Take in ``number`` more requests of which ``bad`` were bad; gives the evidence so far, 1 at the start."""
        self.bad += bad
        self.number += number
        return self.evidence

    @property
    def evidence(self) -> float:
        """The likelihood ratio of a share over the allowed one, against the allowed one."""
        from scipy.special import betaln
        from scipy.stats import beta

        first, second = 1.0, 1.0 / self.allowed
        good = self.number - self.bad
        above = float(beta.logsf(self.allowed, first + self.bad, second + good))
        prior = float(beta.logsf(self.allowed, first, second))
        mixture = float(betaln(first + self.bad, second + good) - betaln(first, second)) + above - prior
        within = self.bad * math.log(self.allowed) + good * math.log1p(-self.allowed)
        return math.exp(min(700.0, mixture - within))

    @property
    def doomed(self) -> bool:
        """Whether there is enough of it."""
        return self.evidence >= ENOUGH
