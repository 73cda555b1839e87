"""The requests that an objective is judged by: of its stage, after each run's warm-up, in the order they were sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_llmdbench.declared.objective import Bound
from pytest_llmdbench.verdicts.dependence import dependence

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import Numbers, RequestTable


@dataclass(frozen=True, slots=True)
class Counts:
    """How many requests were judged and how many were bad; ``factor`` is what bad ones depend on each other by."""

    bad: float
    number: float
    factor: float


class Sample:
    """Some requests of a run, or of all runs of a repeated load (``run`` is None).

    ``cuts`` maps a run and a stage to the seconds from its first request that are left out. ``lost`` requests were
    asked for and are not in the table: nobody answered them, so they are bad.
    """

    def __init__(
        self,
        table: RequestTable,
        stage: int | None,
        cuts: Mapping[tuple[int, int], float],
        lost: int = 0,
        run: int | None = None,
    ) -> None:
        import numpy as np

        self._table = table
        self._lost = lost
        chosen = table.chosen(stage, run=run)
        sent = table.column("sent")
        for (its_run, its_stage), seconds in cuts.items():
            of_stage = table.chosen(its_stage, run=its_run)
            if seconds and of_stage.any():
                chosen &= ~(of_stage & (sent < sent[of_stage].min() + seconds))
        places = np.flatnonzero(chosen)
        #: Rows of the table, the first sent first.
        self._rows = places[np.argsort(sent[places], kind="stable")]

    def __len__(self) -> int:
        return len(self._rows) + self._lost

    def latencies(self, metric: str) -> Numbers:
        """The values of completed requests that have one, in the order of their sending."""
        import numpy as np

        values = self._values(metric)[self._completed]
        kept: Numbers = values[~np.isnan(values)]
        return kept

    def factor(self, metric: str) -> float:
        """How much less than independent requests these are worth, by their latencies around each stage's mean.

        Of repeated runs each has a mean of its own: how runs differ is told by their own values.
        """
        import numpy as np

        values = self._values(metric)
        known = self._completed & ~np.isnan(values)
        values, stages, runs = values[known].copy(), self._column("stage")[known], self._table.runs[self._rows][known]
        for run, stage in set(zip(runs.tolist(), stages.tolist(), strict=True)):
            # A stage has a level of its own: that it differs from the next is no dependence.
            own = (runs == run) & (stages == stage)
            values[own] -= values[own].mean()
        return dependence(values)

    def bad(self, bounds: Mapping[str, Bound]) -> Counts | None:
        """The requests that missed any of the bounds; None where no request has such a value.

        A failed request is bad. An unfinished one is bad if it has been under way for longer than a bound allows;
        otherwise, and where a completed request has no such value (an answer of one token has no TPOT), it says
        nothing.
        """
        import numpy as np

        missed = self._failed.copy()
        known = self._failed.copy()
        seen = False
        for metric, bound in bounds.items():
            values = self._values(metric)
            there = ~np.isnan(values) & ~self._failed
            seen = seen or bool(there.any())
            over = there & ~_met(bound, values)
            if metric in ("ttft", "e2e"):
                late = self._unfinished & np.isnan(values) & ~_met(bound, self._under_way)
                over, there = over | late, there | late
            missed |= over
            known |= there
        if not seen and not self._failed.any():
            return None
        indicator = missed[known].astype(float)
        number = len(indicator) + self._lost
        return Counts(float(indicator.sum()) + self._lost, number, dependence(indicator))

    def bad_gaps(self, bound: Bound) -> tuple[Counts, float] | None:
        """Gaps between events that missed the bound, and how many independent ones they all are worth.

        Gaps of one answer depend on each other, so answers are the clusters of a ratio estimate (Cochran 1977, 6.3). A
        failed request counts as an answer whose gaps were all bad. None where there is no gap.
        """
        import numpy as np

        missed, gaps = self._table.gap_counts(lambda values: ~_met(bound, values))
        bad, number = missed[self._rows].astype(float), gaps[self._rows].astype(float)
        counted = (number > 0) | self._failed
        if not (number > 0).any():
            return None
        usual = number[number > 0].mean()
        bad, number = np.where(self._failed, usual, bad)[counted], np.where(self._failed, usual, number)[counted]
        share = bad.sum() / number.sum()
        spread = (bad - share * number) / usual
        variance = float(spread.var()) / len(spread) * dependence(spread)
        worth = min(share * (1 - share) / variance, number.sum()) if variance > 0 else float(len(spread))
        return Counts(float(bad.sum()), float(number.sum()), float(number.sum()) / worth), worth

    @cached_property
    def _completed(self) -> Any:
        return self._table.chosen(None, "completed")[self._rows]

    @cached_property
    def _failed(self) -> Any:
        return self._table.chosen(None, "failed")[self._rows]

    @cached_property
    def _unfinished(self) -> Any:
        return self._table.chosen(None, "unfinished")[self._rows]

    @cached_property
    def _under_way(self) -> Any:
        """For how long each request was under way: to its end, or to the end of its run."""
        import numpy as np

        last = np.fmax(self._table.column("ended"), self._table.column("sent"))
        until = self._column("ended").copy()
        of_run = self._table.runs[self._rows]
        for run in np.unique(of_run):
            until[(of_run == run) & np.isnan(until)] = last[self._table.runs == run].max()
        return until - self._column("sent")

    def _values(self, metric: str) -> Any:
        if metric not in ("e2e", "normalized_tpot"):
            return self._column(metric)
        import numpy as np

        whole = np.where(self._unfinished, np.nan, self._column("ended") - self._column("sent"))
        if metric == "e2e":
            return whole
        tokens = self._column("output_tokens")
        return whole / np.where(tokens > 0, tokens, np.nan)

    def _column(self, name: str) -> Any:
        return self._table.column(name)[self._rows]


def _met(bound: Bound, values: Any) -> Any:
    """As ``Bound.met_by``, of many values at once; of an absent value False."""
    return values < bound.limit if bound.operator == "<" else values <= bound.limit
