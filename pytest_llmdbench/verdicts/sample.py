"""The requests that an objective is judged by: of its stage, after each run's warm-up, in the order they were sent.

Their numbers are read from the file as they are needed. At most one column of them is in memory at once, 8 bytes a
request, with the place of each in the order of sending, 4 bytes, and what became of it, 2 bytes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.declared.objective import Bound
from pytest_llmdbench.results.table_pieces import ROWS, definition
from pytest_llmdbench.verdicts.dependence import ROUNDING, dependence
from pytest_llmdbench.verdicts.gaps import worth_of_gaps
from pytest_llmdbench.verdicts.sending_order import by_run_and_stage, places

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import Numbers, RequestTable

#: What a request says of bounds: of several the largest counts. A request is open that may miss one of them yet.
_NOTHING: Final = 0
_GOOD: Final = 1
_OPEN: Final = 2
_BAD: Final = 3


@dataclass(frozen=True, slots=True)
class Counts:
    """How many requests were judged and how many were bad; ``factor`` is what bad ones depend on each other by."""

    bad: float
    number: float
    factor: float


class Sample:
    """Some requests of a run, or of all runs of a repeated load.

    ``cuts`` maps a run and a stage to the seconds from its first request that are left out. ``lost`` requests were
    asked for and are not in the table: nobody answered them, so they are bad.
    """

    def __init__(
        self, table: RequestTable, stage: int | None, cuts: Mapping[tuple[int, int], float], lost: int = 0
    ) -> None:
        self._table = table
        self._lost = lost
        self._places = places(table, stage, cuts)
        #: So many places there are, of all runs.
        self._room = int(self._places.max(initial=-1)) + 1
        self._factors: dict[str, float] = {}

    def of_run(self, run: int, lost: int) -> Sample:
        """Those of one run of a repeated load, of which ``lost`` are not in the table."""
        import numpy as np

        one = copy(self)
        one._lost, one._factors = lost, {}
        one._places = np.where(self._table.runs == run, self._places, np.int32(-1))
        return one

    def __len__(self) -> int:
        return int((self._places >= 0).sum()) + self._lost

    def latencies(self, metric: str, late: Bound | None = None) -> Numbers:
        """The values of completed requests that have one, in the order of their sending.

        With ``late`` also the time so far of unfinished ones that have been under way for longer: it will be more.
        """
        pieces = ((at, values) for at, values, _, _ in self._completed(metric))
        return self._in_order(pieces if late is None else chain(pieces, self._late(metric, late)))

    def factor(self, metric: str) -> float:
        """How much less than independent requests these are worth, by their latencies around each stage's mean.

        Of repeated runs each has a mean of its own: how runs differ is told by their own values.
        """
        if metric not in self._factors:
            self._factors[metric] = dependence(self._in_order(self._around_means(metric)))
        return self._factors[metric]

    def bad(self, bounds: Mapping[str, Bound]) -> Counts | None:
        """The requests that missed any of the bounds; None where one of them was measured of no request.

        A failed request is bad. An unfinished one is bad if it has been under way for longer than a bound allows, and
        else says nothing unless all is known of it. Of a completed one (an answer of one token has no TPOT) only the
        other bounds count.
        """
        import numpy as np

        failed, unfinished = (self._table.chosen(None, outcome) for outcome in ("failed", "unfinished"))
        said = np.full(self._room, _NOTHING, dtype=np.int8)
        for metric, bound in bounds.items():
            measured = answered = failing = False
            for rows, values in self._values(metric):
                there = ~np.isnan(values) & ~failed[rows]
                measured = measured or bool(there.any())
                answered = answered or not (failed[rows] | unfinished[rows]).all()
                failing = failing or bool(failed[rows].any())
                says = np.where(there, np.where(_met(bound, values), _GOOD, _BAD), unfinished[rows] * _OPEN)
                at = self._places[rows]
                said[at] = np.maximum(said[at], np.where(failed[rows], _BAD, says))
            if not measured and (answered or not failing):
                return None
            for at, _ in self._late(metric, bound):
                said[at] = _BAD
        bad = said[(said == _GOOD) | (said == _BAD)] == _BAD
        return Counts(float(bad.sum()) + self._lost, len(bad) + self._lost, dependence(bad))

    def bad_gaps(self, bound: Bound) -> tuple[Counts, float] | None:
        """Gaps between events that missed the bound, and what they depend on each other by where a PASS rests on it.

        A failed request counts as an answer whose gaps were all bad. None where there is no gap.
        """
        import numpy as np

        missed, gaps = self._table.gap_counts(lambda values: ~_met(bound, values))
        sampled, failed = self._places >= 0, self._table.chosen(None, "failed")
        if not (gaps[sampled] > 0).any():
            return None
        usual = float(gaps[sampled & (gaps > 0)].mean())
        answered, failures = sampled & ~failed & (gaps > 0), int((sampled & failed).sum()) + self._lost
        number = int(gaps[answered].sum()) + usual * failures
        bad = int(missed[answered].sum()) + usual * failures
        share = bad / number

        def off() -> Iterator[tuple[Any, Numbers]]:
            """How many more bad gaps than its share each answer has, in answers."""
            for begin in range(0, len(gaps), ROWS):
                rows = begin + np.flatnonzero((answered | sampled & failed)[begin : begin + ROWS])
                ratio = (missed[rows] - share * gaps[rows]) / usual
                yield self._places[rows], np.where(failed[rows], 1 - share, ratio)

        own, sure = worth_of_gaps(self._in_order(off()), bad, number, self._lost)
        return Counts(bad, number, number / own), number / sure

    @cached_property
    def _ends(self) -> Mapping[int, float]:
        """When the last request of each run was sent or ended."""
        import numpy as np

        found: dict[int, float] = {}
        for runs, sent, ended in self._table.pieces("run", "sent", "ended"):
            last = np.fmax(ended, sent)
            for run in np.unique(runs):
                found[int(run)] = max(found.get(int(run), -math.inf), float(last[runs == run].max()))
        return found

    def _under_way(self, runs: Numbers, sent: Numbers, ended: Numbers) -> Numbers:
        """For how long requests were under way: to their end, or to the end of their run."""
        import numpy as np

        return np.where(np.isnan(ended), [self._ends[run] for run in runs.astype(int).tolist()], ended) - sent

    def _late(self, metric: str, bound: Bound) -> Iterator[tuple[Any, Numbers]]:
        """Places of unfinished requests that no value is known of and that are late already, and their time so far."""
        import numpy as np

        unfinished = self._table.chosen(None, "unfinished")
        if metric not in ("ttft", "e2e") or not unfinished[self._places >= 0].any():
            return
        for rows, values, runs, sent, ended in self._values(metric, "run", "sent", "ended"):
            open_ = unfinished[rows] & np.isnan(values)
            so_far = self._under_way(runs[open_], sent[open_], ended[open_])
            late = ~_met(bound, so_far)
            yield self._places[rows[open_][late]], so_far[late]

    def _completed(self, metric: str) -> Iterator[tuple[Any, Numbers, Numbers, Numbers]]:
        """Places, values, runs and stages of completed requests that have a value, some thousand at a time."""
        import numpy as np

        completed = self._table.chosen(None, "completed")
        for rows, values, runs, stages in self._values(metric, "run", "stage"):
            known = completed[rows] & ~np.isnan(values)
            yield self._places[rows[known]], values[known], runs[known], stages[known]

    def _values(self, metric: str, *names: str) -> Iterator[tuple[Any, ...]]:
        """Rows of the sample's requests, their values and columns, some thousand at a time; NaN where one has none."""
        import numpy as np

        unfinished, begin = self._table.chosen(None, "unfinished"), 0
        columns, made = definition(metric)
        for piece in self._table.pieces(*columns, *names):
            values, more = made(*piece[: len(columns)]), piece[len(columns) :]
            rows = begin + np.flatnonzero(self._places[begin : begin + len(values)] >= 0)
            chosen, begin = rows - begin, begin + len(values)
            own = values[chosen]
            if metric in ("e2e", "normalized_tpot"):
                own[unfinished[rows]] = np.nan
            yield rows, own, *(column[chosen] for column in more)

    def _around_means(self, metric: str) -> Iterator[tuple[Any, Numbers]]:
        """Places, and how far values are from the mean of their run and stage."""
        sums, counts = defaultdict[tuple[int, int], float](float), defaultdict[tuple[int, int], int](int)
        for _, values, runs, stages in self._completed(metric):
            for key, own in by_run_and_stage(runs, stages):
                sums[key] += float(values[own].sum())
                counts[key] += int(own.sum())
        for at, values, runs, stages in self._completed(metric):
            for key, own in by_run_and_stage(runs, stages):
                mean = sums[key] / counts[key]
                values[own] -= mean
                values[own & (abs(values) <= ROUNDING * mean)] = 0.0
            yield at, values

    def _in_order(self, pieces: Iterable[tuple[Any, Numbers]]) -> Numbers:
        """Values at their places, those without one left out; at no time in memory twice."""
        import numpy as np

        found = np.full(self._room, np.nan)
        for at, values in pieces:
            found[at] = values
        end = 0
        for begin in range(0, len(found), ROWS):
            piece = found[begin : begin + ROWS]
            known = piece[~np.isnan(piece)]
            found[end : end + len(known)] = known
            end += len(known)
        return found[:end]


def _met(bound: Bound, values: Any) -> Any:
    """As ``Bound.met_by``, of many values at once; of an absent value False."""
    return values < bound.limit if bound.operator == "<" else values <= bound.limit
