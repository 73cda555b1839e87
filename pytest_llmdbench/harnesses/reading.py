"""From what load programs left to one canonical result: statistics of single requests where there are any.

What a program says of itself is of its own making: windows, percentiles and rounding differ between programs. Where it
kept its requests, everything is made from them, alike for all programs, and for several that ran side by side.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import CLOCK, Harness, Tasked
from pytest_llmdbench.harnesses.live import Live
from pytest_llmdbench.harnesses.plausible import FARTHEST_S, plausible
from pytest_llmdbench.results.distributions import distribution
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import UNLABELLED, Distribution, Requests, Result, Stage
from pytest_llmdbench.results.table import TABLE, RequestTable, write_table
from pytest_llmdbench.results.table_statistics import latencies_of, lengths_of, tokens_per_event


def read_run(harness: Harness, folders: Sequence[Path], folder: Path) -> Result:
    """The one result of programs that sent a load side by side, each from one of ``folders``; mostly there is one.

    Their single requests go into a table in ``folder``. Rates are over the window from the first request sent to the
    last one ended. Failures are counted by the program's own words, asked rates and concurrency of several programs
    are added up. Where requests do not carry their lag, of several programs' lags mean and bounds are exact, and a
    percentile is that of the program which was latest.

    Raises:
        HarnessError: a file is absent, cut short or of an unknown version; requests contradict the program's own
            counts, or cannot have been; or several programs' results cannot be merged, for want of single requests.
    """
    own = [harness.read(one) for one in folders]
    streams = [harness.requests(one, result) for one, result in zip(folders, own, strict=True)]
    if any(stream is None for stream in streams):
        if len(own) > 1:
            raise HarnessError(
                f"{harness.name} kept no single requests in {folders[0]}: results of several pods are made from them. "
                "Run the load in one pod (load.parallelism: 1)"
            )
        return own[0]
    if len({len(one.stages) for one in own}) > 1:
        raise HarnessError(f"{folder}: the programs ran different numbers of stages; they cannot be merged")
    shifts = [_clock(one) if harness.clock == "monotonic" else 0.0 for one in folders]
    write_table(folder / TABLE, _shifted(harness, folders, streams, shifts))
    table = RequestTable(folder / TABLE)
    if not len(table):
        if any(one.whole.requests.completed + one.whole.requests.failures for one in own):
            raise HarnessError(f"{folder}: {harness.name} counts requests and recorded none of them")
        return own[0]
    stages = tuple(
        _stage(table, index, [one.stages[index] for one in own], folder) for index in range(len(own[0].stages))
    )
    whole = _stage(table, None, [one.whole for one in own], folder)
    scores = harness.scores_together(own) if isinstance(harness, Tasked) else own[0].scores
    return replace(own[0], whole=whole, stages=stages, table=table.path, scores=scores)


def read_given_up(harness: Harness, folders: Sequence[Path], folder: Path) -> Result:
    """What programs that were ended before their time have left: their results, or else the requests that are written.

    Where there is neither the result has no request.
    """
    try:
        return read_run(harness, folders, folder)
    except HarnessError:
        nothing = Result(harness.name, harness.version, Stage(Requests(0)), purpose=harness.purpose)
    if not isinstance(harness, Live):
        return nothing
    shifts = [_clock(one) if harness.clock == "monotonic" else 0.0 for one in folders]
    streams = [iter(harness.follow(one)()) for one in folders]
    write_table(folder / TABLE, _shifted(harness, folders, streams, shifts))
    table = RequestTable(folder / TABLE)
    if not len(table):
        return nothing
    stages = tuple(_written(table, index, folder) for index in range(int(table.column("stage").max()) + 1))
    return replace(nothing, whole=_written(table, None, folder), stages=stages, table=table.path)


def _written(table: RequestTable, index: int | None, folder: Path) -> Stage:
    """A stage of which nothing is known but its requests."""
    counts = Requests(table.count(index, "completed"), table.errors(index), table.count(index, "unfinished"))
    return _stage(table, index, [Stage(counts)], folder)


def _clock(folder: Path) -> float:
    """What has to be added to a program's monotonic times; 0 where nobody noted it."""
    try:
        shift = float((folder / CLOCK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError) as error:
        raise HarnessError(f"{folder / CLOCK}: is not a number of seconds: {error}") from error
    if not abs(shift) <= FARTHEST_S:
        raise HarnessError(f"{folder / CLOCK}: is not a number of seconds: {shift:g}")
    return shift


def _shifted(
    harness: Harness, folders: Sequence[Path], streams: Sequence[Iterator[Request] | None], shifts: Sequence[float]
) -> Iterator[tuple[int, Request]]:
    for number, (folder, stream, shift) in enumerate(zip(folders, streams, shifts, strict=True)):
        for request in plausible(stream or iter(()), folder, harness.name):
            request.sent += shift
            if request.ended is not None:
                request.ended += shift
            yield number, request


def _stage(table: RequestTable, index: int | None, own: Sequence[Stage], folder: Path) -> Stage:
    """One stage, or the whole, from its requests; ``own`` is what each program says of its part."""
    number, first, last, end = _window(table, index)
    if not number:
        return own[0]
    duration = None if end is None else end - first
    requests = _requests(table, index, own, folder)
    prompt, output = (_tokens(table, f"{name}_tokens", index) for name in ("prompt", "output"))
    latencies = latencies_of(table, index)
    gaps = None if "itl" in latencies else _only(own, lambda one: one.latencies.get("itl"))
    span = last - first
    lag = distribution(table.values("lag", index, None))
    closed = any(one.concurrency is not None for one in own)
    return Stage(
        requests=requests,
        duration_s=duration,
        asked_rate=_total(own, lambda one: one.asked_rate),
        achieved_rate=(number - 1) / span if span > 0 else None,
        concurrency=_total(own, lambda one: one.concurrency),
        prompt_tokens=prompt,
        output_tokens=output,
        prompt_tokens_per_second=None if prompt is None else _rate(prompt, duration),
        output_tokens_per_second=None if output is None else _rate(output, duration),
        requests_per_second=_rate(requests.completed, duration),
        tokens_per_event=tokens_per_event(table, index),
        latencies=latencies | ({"itl": gaps} if gaps is not None else {}),
        lengths=lengths_of(table, index),
        # A closed loop plans no times, whatever a program notes of its queue.
        schedule_lag=None if closed else lag or _latest(own),
    )


def _window(table: RequestTable, index: int | None) -> tuple[int, float, float, float | None]:
    """How many requests there are; when the first and the last of them were sent, and when the last one ended."""
    import numpy as np

    number, first, last, end = 0, math.inf, -math.inf, -math.inf
    for begins, ends in table.pieces("sent", "ended", stage=index):
        sent, ended = begins[~np.isnan(begins)], ends[~np.isnan(ends)]
        number += len(sent)
        first, last = min(first, float(sent.min(initial=math.inf))), max(last, float(sent.max(initial=-math.inf)))
        end = max(end, float(ended.max(initial=-math.inf)))
    return number, first, last, end if end > -math.inf else None


def _tokens(table: RequestTable, name: str, index: int | None) -> int | None:
    """The tokens of completed requests together; None where none is known."""
    import numpy as np

    known = total = 0
    for (tokens,) in table.pieces(name, stage=index, outcome="completed"):
        known += int(np.count_nonzero(~np.isnan(tokens)))
        total += int(np.nansum(tokens))
    return total if known else None


def _requests(table: RequestTable, index: int | None, own: Sequence[Stage], folder: Path) -> Requests:
    """Counts by outcome; those of the single requests and the programs' own have to be the same.

    Kinds of failures are in the programs' own words, or in those of their requests where they have none.
    """
    failed = dict(sum((Counter(one.requests.failed) for one in own), Counter[str]()))
    completed, failures = table.count(index, "completed"), table.count(index, "failed")
    said = (sum(one.requests.completed for one in own), sum(failed.values()))
    if said != (completed, failures):
        where = "the whole run" if index is None else f"stage {index}"
        raise HarnessError(
            f"{folder}: of {where} there are {completed} requests that completed and {failures} that failed, "
            f"where the program itself counts {said[0]} and {said[1]}"
        )
    if set(failed) == {UNLABELLED}:
        failed = table.errors(index)
    unfinished = max(table.count(index, "unfinished"), sum(one.requests.unfinished for one in own))
    return Requests(completed, failed, unfinished)


def _rate(amount: float, seconds: float | None) -> float | None:
    return amount / seconds if seconds else None


def _total(own: Sequence[Stage], of: Callable[[Stage], Any]) -> Any:
    """The sum of what all programs say; None where one does not."""
    values = [of(one) for one in own]
    return None if None in values else sum(values)


def _only(own: Sequence[Stage], of: Callable[[Stage], Distribution | None]) -> Distribution | None:
    """What the only program says; of several nothing."""
    return of(own[0]) if len(own) == 1 else None


def _latest(own: Sequence[Stage]) -> Distribution | None:
    """How late several programs were together, from their own distributions: never better than it was."""
    lags = [one.schedule_lag for one in own if one.schedule_lag is not None]
    if len(lags) != len(own) or len(lags) == 1:
        return lags[0] if len(lags) == len(own) else None
    weights = [one.requests.offered for one in own]
    means = [lag.mean for lag in lags if lag.mean is not None]
    shared = set.intersection(*(set(lag.percentiles) for lag in lags))
    return Distribution(
        math.fsum(map(math.prod, zip(means, weights, strict=True))) / sum(weights) if len(means) == len(lags) else None,
        min((lag.minimum for lag in lags if lag.minimum is not None), default=None),
        max((lag.maximum for lag in lags if lag.maximum is not None), default=None),
        {one: max(lag.percentiles[one] for lag in lags) for one in sorted(shared)},
    )
