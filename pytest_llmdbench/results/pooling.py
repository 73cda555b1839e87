"""The runs of a repeated load as one result: their requests together, their rates averaged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pytest_llmdbench.results.economy import together
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage
from pytest_llmdbench.results.table import TABLE, RequestTable, pool_tables
from pytest_llmdbench.results.table_statistics import latencies_of, lengths_of, tokens_per_event

Value = TypeVar("Value", int, float)


def pool(runs: Sequence[Result], folder: Path) -> Result:
    """One result of several runs of the same load, of which the first is no more special than the others.

    Counts, tokens, durations and costs are added up; rates and scores are averaged, as are distributions where there
    are no single requests. Where every run has them their requests go into one table in
    ``folder``, and all distributions are made from it. What a stack said of itself stays with the single runs.
    """
    tables = [one.table for one in runs if one.table is not None and one.table.is_file()]
    table = None
    if len(tables) == len(runs):
        pool_tables(folder / TABLE, tables)
        table = RequestTable(folder / TABLE)
    # A load that was given up has not come to all of its stages.
    stages = min(len(one.stages) for one in runs)
    first = runs[0]
    return Result(
        harness=first.harness,
        harness_version=first.harness_version,
        whole=_stage([one.whole for one in runs], table, None),
        stages=tuple(_stage([one.stages[index] for one in runs], table, index) for index in range(stages)),
        purpose=first.purpose,
        scores=_each([one.scores for one in runs], _mean),
        startup=_each([one.startup for one in runs], _mean),
        economy=together(runs),
        started=first.started,
        elapsed_s=_all([one.elapsed_s for one in runs], math.fsum),
        exit_code=next((one.exit_code for one in runs if one.exit_code), first.exit_code),
        abandoned=next((one.abandoned for one in runs if one.abandoned), None),
        runs=tuple(runs),
        table=table.path if table is not None else None,
    )


def _stage(parts: Sequence[Stage], table: RequestTable | None, index: int | None) -> Stage:
    requests = Requests(
        sum(one.requests.completed for one in parts),
        dict(sum((Counter(one.requests.failed) for one in parts), Counter[str]())),
        sum(one.requests.unfinished for one in parts),
    )
    return Stage(
        requests=requests,
        duration_s=_all([one.duration_s for one in parts], math.fsum),
        asked_rate=_all([one.asked_rate for one in parts], _mean),
        achieved_rate=_all([one.achieved_rate for one in parts], _mean),
        concurrency=parts[0].concurrency,
        prompt_tokens=_all([one.prompt_tokens for one in parts], sum),
        output_tokens=_all([one.output_tokens for one in parts], sum),
        prompt_tokens_per_second=_all([one.prompt_tokens_per_second for one in parts], _mean),
        output_tokens_per_second=_all([one.output_tokens_per_second for one in parts], _mean),
        requests_per_second=_all([one.requests_per_second for one in parts], _mean),
        tokens_per_event=(
            _all([one.tokens_per_event for one in parts], _mean) if table is None else tokens_per_event(table, index)
        ),
        latencies=_averaged([one.latencies for one in parts]) | (latencies_of(table, index) if table else {}),
        lengths=_averaged([one.lengths for one in parts]) | (lengths_of(table, index) if table else {}),
        schedule_lag=_average([one.schedule_lag for one in parts]),
    )


def _averaged(parts: Sequence[Mapping[str, Distribution]]) -> dict[str, Distribution]:
    """Distributions that every run has, without knowing their values."""
    names = [name for name in parts[0] if all(name in one for one in parts)]
    made = {name: _average([one[name] for one in parts]) for name in names}
    return {name: one for name, one in made.items() if one is not None}


def _average(parts: Sequence[Distribution | None]) -> Distribution | None:
    """Every statistic as its mean over the runs, but for the bounds, which are those of all."""
    known = [one for one in parts if one is not None]
    if not known or len(known) < len(parts):
        return None
    shared = set.intersection(*(set(one.percentiles) for one in known))
    return Distribution(
        mean=_all([one.mean for one in known], _mean),
        minimum=_all([one.minimum for one in known], min),
        maximum=_all([one.maximum for one in known], max),
        percentiles={one: _mean([part.percentiles[one] for part in known]) for one in sorted(shared)},
        stddev=_all([one.stddev for one in known], _mean),
        count=_all([one.count for one in known], sum),
    )


def _each(parts: Sequence[Mapping[str, float]], how: Callable[[Sequence[float]], float]) -> dict[str, float]:
    """What every run has, taken together."""
    return {name: how([one[name] for one in parts]) for name in parts[0] if all(name in one for one in parts)}


def _all(values: Sequence[Value | None], how: Callable[[Sequence[Value]], Value]) -> Value | None:
    """What all values say together; None where one of them is not known."""
    known = [one for one in values if one is not None]
    return how(known) if len(known) == len(values) else None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
