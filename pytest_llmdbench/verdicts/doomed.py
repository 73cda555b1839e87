"""Whether a running load can still pass: watched request by request, at any time, without losing the error bound.

An e-process: the likelihood of what was seen when the true share of bad requests is drawn from a prior above what is
allowed, against the largest likelihood within what is allowed. By Ville's inequality it exceeds 20 with probability
0.05 at most, ever, if the true share is allowed (Wald 1945; Howard et al. 2021). The prior is Beta(1, 1/allowed),
truncated to shares above the allowed one.

That holds for independent requests. In a queue bad ones come in a row, so all counts are divided by their index of
dispersion: the variance of the bad ones in a batch of consecutive requests against what independent ones would have,
the largest over batches of doubling size. Where that shows a queue it is taken for two standard errors more than was
found: a queue's bad times are few, and a run that has not seen many knows little of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

#: At this evidence a run is given up: 1 in 20 of sound runs would ever reach it.
ENOUGH: Final = 20.0
#: Of fewer requests nothing is believed: a load that begins in a queue's bad time may have seen nothing else.
FEWEST: Final = 30
#: With fewer batches their variance tells nothing.
FEWEST_BATCHES: Final = 8
#: Below this an index of dispersion may be chance.
CLUSTERED: Final = 1.5
#: More looks than this are kept as half as many, two together.
_MOST_LOOKS: Final = 4096


@dataclass(slots=True)
class Doom:
    """The evidence that a share of bad requests is over ``allowed``; fed with counts as they come.

    ``bad`` of ``number`` requests were bad so far. ``among`` so many of its like it is watched: each may be wrong.
    """

    allowed: float
    among: int = 1
    bad: float = 0
    number: float = 0
    _looks: list[tuple[float, float]] = field(default_factory=list)

    def seen(self, bad: float, number: float) -> float:
        """As :meth:`add`; gives the evidence so far, 1 at the start."""
        self.add(bad, number)
        return self.evidence

    def add(self, bad: float, number: float) -> None:
        """Take in ``number`` more requests of which ``bad`` were bad."""
        self.bad += bad
        self.number += number
        if number:
            self._looks.append((bad, number))
            if len(self._looks) > _MOST_LOOKS:
                self._looks = _by_two(self._looks)

    @property
    def evidence(self) -> float:
        """The likelihood ratio of a share over the allowed one, against the allowed one."""
        from scipy.special import betaincc, betaln

        dispersion = self.dispersion
        bad, good = self.bad / dispersion, (self.number - self.bad) / dispersion
        first, second = 1.0, 1.0 / self.allowed
        above = float(betaincc(first + bad, second + good, self.allowed))
        if not above:
            return 0.0
        mixture = float(betaln(first + bad, second + good) - betaln(first, second)) + math.log(
            above / float(betaincc(first, second, self.allowed))
        )
        within = bad * math.log(self.allowed) + good * math.log1p(-self.allowed)
        return math.exp(min(700.0, mixture - within))

    @property
    def dispersion(self) -> float:
        """How many requests of a queue are worth one independent one, 1 or more, by what was seen so far."""
        looks, found = self._looks, 1.0
        share = max(self.allowed, self.bad / self.number) if self.number else 1.0
        if share >= 1.0:
            return found
        while len(looks) >= FEWEST_BATCHES:
            squares = math.fsum((bad - share * number) ** 2 for bad, number in looks)
            number = math.fsum(number for _, number in looks)
            index = squares / (number * share * (1 - share))
            if index > CLUSTERED:
                index *= 1 + 2 * math.sqrt(2 / len(looks))
            found = max(found, index)
            looks = _by_two(looks)
        return found

    @property
    def enough(self) -> float:
        """The evidence at which a run is given up."""
        return ENOUGH * self.among

    @property
    def doomed(self) -> bool:
        """Whether there is enough of it."""
        return self.number >= FEWEST and self.evidence >= self.enough


def _by_two(looks: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Two neighbours together each; the newest stays out where it has none."""
    return [(one[0] + two[0], one[1] + two[1]) for one, two in zip(looks[0::2], looks[1::2], strict=False)]
