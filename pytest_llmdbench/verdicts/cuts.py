"""What is left out of a verdict: the beginning of each run and stage, as declared or as found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_llmdbench.declared.warmup import Warmup
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.verdicts.warmup import warmup_s

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import RequestTable

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
    found: dict[tuple[int, int], float] = {}
    unsettled: dict[int, None] = {}
    for run in runs:
        for stage in stages:
            chosen = table.chosen(stage, "completed", run)
            sent = table.column("sent")[chosen]
            cut = warmup_s(sent, table.column("ended")[chosen] - sent)
            found[run, stage] = cut or 0.0
            if cut is None:
                unsettled[stage] = None
    where = ", ".join(map(str, sorted(unsettled)))
    return found, (f"stage {where} had not settled at its half; a longer one would tell more",) if unsettled else ()
