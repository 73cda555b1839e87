"""A repeated load with two stages, as a busy queue would have left it; the same to the last digit on every machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from pytest_llmdbench.results.request import Outcome, Request
from pytest_llmdbench.results.result import Requests, Result, Stage
from pytest_llmdbench.results.table import TABLE, RequestTable, pool_tables, write_table

#: Requests of a stage; two stages are more than autocorrelations are made of at once.
EACH = 9000
#: Requests a second of each stage, where a server ends 25.
RATES = (12.0, 19.0)


def queued(seed: int) -> list[Request]:
    """The requests of one run, in the order that they ended; the first 30 s are slow, some fail, the last are cut."""
    found, chance = [], Random(seed)
    now, free = 1.7e9, 0.0
    for stage, rate in enumerate(RATES):
        for _ in range(EACH):
            now -= math.log(1 - chance.random()) / rate
            service = -math.log(1 - chance.random()) / 25 + (0.05 if now < 1.7e9 + 30 else 0.0)
            free = max(now, free) + service
            found.append(_request(stage, now, free, chance))
    for late in found[-20::4]:
        late.outcome, late.ended, late.tpot = "unfinished", None, None
    return sorted(found, key=lambda one: one.ended or math.inf)


def _request(stage: int, sent: float, ended: float, chance: Random) -> Request:
    outcome: Outcome = "failed" if chance.random() < 0.0005 else "completed"
    tokens = chance.randrange(40)
    first = None if outcome == "failed" else 0.6 * (ended - sent)
    tpot = None if outcome == "failed" or tokens < 2 else 0.4 * (ended - sent) / 20
    gaps = [] if first is None else [0.02 * chance.random() + 0.03 * (ended - sent) for _ in range(chance.randrange(4))]
    return Request(stage, sent, ended, outcome, None, 10, tokens, 5, first, tpot, gaps)


def repeated(folder: Path, runs: int) -> Result:
    """The result of so many runs, one table for all; of each run one request was asked for and is nowhere."""
    tables = []
    for run in range(runs):
        tables.append(folder / f"{run}.parquet")
        write_table(tables[-1], ((0, one) for one in queued(run)))
    pool_tables(folder / TABLE, tables)
    single = tuple(_result(table) for table in tables)
    whole = _result(folder / TABLE, lost=runs)
    return Result(whole.harness, "0.7.0", whole.whole, whole.stages, runs=single if runs > 1 else (), table=whole.table)


def _result(path: Path, lost: int = 1) -> Result:
    table = RequestTable(path)
    whole, *stages = _stages(table, lost)
    return Result("inference-perf", "0.7.0", whole, tuple(stages), table=path)


def _stages(table: RequestTable, lost: int) -> Iterator[Stage]:
    choices: Sequence[int | None] = (None, *range(len(RATES)))
    for stage in choices:
        unfinished = table.count(stage, "unfinished") + lost
        yield Stage(Requests(table.count(stage, "completed"), table.errors(stage), unfinished), output_tokens=100)
