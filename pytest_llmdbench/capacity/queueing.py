"""How long requests that come at random wait for one of several servers: on average, and at a percentile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

#: Of a maximum: what one request in so many waits longer than. Without an end of the load there is no longest wait.
_RARE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Wait:
    """The mean wait, seconds, and the share of requests (0..1) that wait at all."""

    mean: float = 0.0
    chance: float = 0.0

    def at(self, percentile: float) -> float:
        """Seconds at a percentile (0..100): waits of those that wait are taken to be exponential."""
        beyond = max(_RARE, 1 - percentile / 100)
        return self.mean / self.chance * math.log(self.chance / beyond) if self.chance > beyond else 0.0


#: Where nobody knows of a queue, or there is none.
NO_WAIT: Final = Wait()


def queue(rate: float, servers: float, service_s: float, variation: float = 0.0) -> Wait:
    """The wait for the first of ``servers`` that is free, where ``rate`` requests/s come at random.

    ``variation`` is the standard deviation of a service over its mean. The wait is endless where the servers cannot
    keep up. The approximation of M/G/c by Sakasegawa (1977): exact for one server, and within a few percent for more.
    """
    busy = rate * service_s / servers
    if busy >= 1:
        return Wait(math.inf, 1.0)
    chance = busy ** (math.sqrt(2 * (servers + 1)) - 1)
    return Wait((1 + variation**2) / 2 * chance * service_s / (servers * (1 - busy)), chance)
