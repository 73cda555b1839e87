"""What is left out of a verdict: the beginning of each run and stage, as declared or as found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_llmdbench.declared.warmup import Warmup
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.verdicts.sending_order import by_run_and_stage
from pytest_llmdbench.verdicts.warmup import STEP_S, warmup_s

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import RequestTable
    from pytest_llmdbench.verdicts.warmup import Series

#: Run and stage, each from 0 -> seconds of its beginning that are left out.
Cuts = Mapping[tuple[int, int], float]


def cuts_of(result: Result, table: RequestTable, warmup: Warmup) -> tuple[Cuts, tuple[str, ...]]:
    """Run and stage -> seconds of its beginning that are left out; and what there is to say of it."""
    runs, stages = range(max(1, len(result.runs))), range(max(1, len(result.stages)))
    if not warmup.auto:
        left_out = {stage: float("inf") if stage < warmup.stages else 0.0 for stage in stages}
        if warmup.seconds:
            left_out[0] = warmup.seconds
        return {(run, stage): left_out[stage] for run in runs for stage in stages}, ()
    series = _by_second(table)
    found: dict[tuple[int, int], float] = {}
    unsettled: dict[int, None] = {}
    for run in runs:
        for stage in stages:
            cut = warmup_s(*series[run, stage]) if (run, stage) in series else 0.0
            found[run, stage] = cut or 0.0
            if cut is None:
                unsettled[stage] = None
    where = ", ".join(map(str, sorted(unsettled)))
    return found, (f"stage {where} had not settled at its half; a longer one would tell more",) if unsettled else ()


def _by_second(table: RequestTable) -> Mapping[tuple[int, int], tuple[Series, Series]]:
    """Run and stage -> how many completed requests were sent in each step from the first one, and their times' sum."""
    import numpy as np

    begins: dict[tuple[int, int], float] = {}
    for key, sent in _completed(table, "sent"):
        begins[key] = min(begins.get(key, math.inf), float(sent.min()))
    found: dict[tuple[int, int], tuple[Series, Series]] = {key: (np.zeros(0), np.zeros(0)) for key in begins}
    for key, sent, ended in _completed(table, "sent", "ended"):
        step = ((sent - begins[key]) / STEP_S).astype(int)
        counts, times = found[key]
        found[key] = _added(counts, np.bincount(step)), _added(times, np.bincount(step, weights=ended - sent))
    return found


def _completed(table: RequestTable, *names: str) -> Iterator[tuple[Any, ...]]:
    """Run and stage, and columns of their completed requests, some thousand at a time."""
    completed, begin = table.chosen(None, "completed"), 0
    for runs, stages, *columns in table.pieces("run", "stage", *names):
        done = completed[begin : begin + len(runs)]
        begin += len(runs)
        for key, own in by_run_and_stage(runs, stages):
            if (own & done).any():
                yield key, *(column[own & done] for column in columns)


def _added(one: Series, other: Series) -> Series:
    import numpy as np

    total: Series = np.zeros(max(len(one), len(other)))
    total[: len(one)] += one
    total[: len(other)] += other
    return total
