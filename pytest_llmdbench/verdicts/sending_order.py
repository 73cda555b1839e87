"""In which order the judged requests were sent, at four bytes a request: a column is put in order as it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.results.table_pieces import ROWS

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import Numbers, RequestTable

#: Bits of the numbers that are sorted: a time in the upper ones, a row in the lower.
_BITS: Final = 62


def places(table: RequestTable, stage: int | None, cuts: Mapping[tuple[int, int], float]) -> Any:
    """For every row of a table its place among the requests of a stage (None: of all); -1 where it is none of them.

    The first that was sent is at place 0; of those sent at once, the first row. ``cuts`` maps a run and a stage to the
    seconds from its first request that are left out.
    """
    import numpy as np

    first, last, begins = math.inf, -math.inf, dict[tuple[int, int], float]()
    for runs, stages, sent in table.pieces("run", "stage", "sent"):
        first, last = min(first, float(sent.min())), max(last, float(sent.max()))
        for key, own in by_run_and_stage(runs, stages):
            begins[key] = min(begins.get(key, math.inf), float(sent[own].min()))
    # Time and row are one number each, sorted where it stands: times and an order of them would be four times the room.
    keys, end, row = np.empty(len(table), dtype=np.int64), 0, 0
    of_row = len(table).bit_length()
    steps = 2 ** (_BITS - of_row) / max(last - first, 1.0)
    for runs, stages, sent in table.pieces("run", "stage", "sent"):
        chosen = np.zeros(len(sent), dtype=bool)
        for key, own in by_run_and_stage(runs, stages):
            if stage in (None, key[1]):
                chosen |= own & (sent >= begins[key] + cuts.get(key, 0.0))
        rows = np.flatnonzero(chosen)
        times = ((sent[rows] - first) * steps).astype(np.int64)
        keys[end : end + len(rows)] = times << of_row | row + rows
        row, end = row + len(sent), end + len(rows)
    keys[:end].sort()
    found = np.full(len(table), -1, dtype=np.int32)
    for begin in range(0, end, ROWS):
        rows = keys[begin : min(begin + ROWS, end)] & (1 << of_row) - 1
        found[rows] = np.arange(begin, begin + len(rows))
    return found


def by_run_and_stage(runs: Numbers, stages: Numbers) -> Iterator[tuple[tuple[int, int], Any]]:
    """Each run and stage among some requests, and which of them are its own."""
    import numpy as np

    for run in np.unique(runs):
        of_run = runs == run
        for stage in np.unique(stages[of_run]):
            yield (int(run), int(stage)), of_run & (stages == stage)
