"""``--llmd-abort-doomed``: watches a load while it runs, and says when it can no longer meet its objectives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.declared.objective import Bound, Objective
from pytest_llmdbench.harnesses.harness import Progress
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.verdicts.doomed import Doom
from pytest_llmdbench.watched import Seen, seen_by

#: Seconds between two looks at what has come.
LOOK_S: Final = 1.0
#: What servers keep histograms of that objectives are about.
_AT_SERVERS: Final = ("ttft", "tpot", "e2e")

#: What came since the last look for each objective, in their order.
Source = Callable[[], Sequence[Sequence[Seen]]]


class DoomWatch:
    """The evidence against each objective, over all runs of a repeated load.

    As each is watched for itself, it takes as many times the evidence as there are objectives.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self._dooms = [Doom(one.allowed or 0.0, among=len(self.objectives)) for one in self.objectives]
        self._looked_s = 0.0

    def over(self, source: Source) -> Callable[[float], str | None]:
        """What a launcher asks, with the seconds since the load began: why to give it up, None to go on."""
        self._looked_s = 0.0
        return lambda elapsed: self._look(source, elapsed)

    def _look(self, source: Source, elapsed: float) -> str | None:
        if elapsed - self._looked_s < LOOK_S:
            return None
        self._looked_s = elapsed
        for objective, doom, came in zip(self.objectives, self._dooms, source(), strict=True):
            for one in came:
                doom.add(one.bad, one.number)
            if came and doom.doomed:
                return (
                    f"given up after {doom.number:.0f} requests, {doom.bad:.0f} of them bad for '{objective.text}', "
                    f"which allows {doom.allowed:.3g} of all (evidence {_odds(doom.evidence)}; {doom.enough:.0f}:1 is "
                    "enough)"
                )
        return None


def by_requests(objectives: Sequence[Objective], follow: Callable[[], Sequence[Request]], unwatched_s: float) -> Source:
    """From a program's requests as they finish; of the first ``unwatched_s`` seconds none is counted."""
    first = float("inf")

    def look() -> Sequence[Sequence[Seen]]:
        nonlocal first
        came = follow()
        first = min([first, *(one.sent for one in came)])
        counted = [one for one in came if one.sent >= first + unwatched_s]
        return [seen_by(one, counted) for one in objectives]

    return look


def by_servers(
    objectives: Sequence[Objective],
    so_far: Callable[[], Mapping[str, Any]],
    watch: Callable[[], Progress],
    unwatched_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Source:
    """From the servers' own histograms, and the failures that the program tells of (``Harness.watch``).

    A request is surely over a bound where it is above a bucket's edge that is not below it: a server sees no more of a
    request's time than its client does. ``so_far`` is as
    :func:`~pytest_llmdbench.results.server_metrics.so_far.histograms` gives it.
    """
    before = [Seen() for _ in objectives]
    begun: float | None = None

    def look() -> Sequence[Sequence[Seen]]:
        nonlocal begun
        told, failures, found = so_far(), watch().failed, []
        for index, objective in enumerate(objectives):
            whole = _so_far(objective, told, failures)
            # A server that was started anew counts from 0; what it had counted is not taken back.
            came = Seen(max(0.0, whole.bad - before[index].bad), max(0.0, whole.number - before[index].number))
            before[index] = whole
            if came.number and begun is None:
                begun = clock()
            counts = came.number > 0 and clock() - (begun or 0.0) >= unwatched_s
            found.append([Seen(min(came.bad, came.number), came.number)] if counts else [])
        return found

    return look


def servers_tell(objective: Objective) -> bool:
    """Whether servers have a histogram of what an objective is about."""
    return all(metric in _AT_SERVERS for metric, _ in _bounds(objective))


def _bounds(objective: Objective) -> Sequence[tuple[str, Bound]]:
    return objective.parts or ((objective.metric, objective.bound),)


def _so_far(objective: Objective, told: Mapping[str, Any], failures: int) -> Seen:
    over, number = 0.0, 0.0
    for metric, bound in _bounds(objective):
        one = told.get(metric)
        if one:
            within = next((reached for edge, reached in one["buckets"] if edge >= bound.limit), one["count"])
            # Of several bounds that were missed nobody knows whether by the same requests.
            over, number = max(over, one["count"] - within), max(number, one["count"])
    return Seen(over + failures, number + failures)


def _odds(evidence: float) -> str:
    return f"{evidence:.0f}:1" if evidence < 1e6 else "more than a million to 1"
