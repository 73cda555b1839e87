"""The objectives that a load can be watched by while it runs, and what each finished request says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.declared.objective import Bound, Objective
from pytest_llmdbench.declared.warmup import Warmup
from pytest_llmdbench.results.request import Request

#: With ``warmup: auto`` a beginning is looked for, and may be left out, only in loads of so many seconds.
SETTLES_S: Final = 100.0
#: So much of such a load is not counted while it is watched, but no more than so many seconds.
UNSETTLED_SHARE: Final = 0.1
UNSETTLED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What came since the last look: ``number`` requests, of which ``bad`` missed an objective for certain."""

    bad: float = 0
    number: float = 0


def watchable(objectives: Iterable[Objective], stages: int, warmup: Warmup) -> tuple[Objective, ...]:
    """Those that are about the share of bad requests of one stage.

    A load of several stages is not the same from its beginning to its end: what its first requests show says nothing of
    the whole.
    """
    return tuple(
        one
        for one in objectives
        if one.allowed is not None
        and one.metric != "itl"
        and (stages <= 1 if one.stage is None else True)
        and (one.stage or 0) >= warmup.stages
    )


def unwatched_s(warmup: Warmup, expected_s: float | None) -> float:
    """For how many seconds after the first request none is counted, as its verdict may leave them out."""
    if not warmup.auto:
        return warmup.seconds
    if expected_s is None:
        return UNSETTLED_S
    return min(UNSETTLED_S, UNSETTLED_SHARE * expected_s) if expected_s >= SETTLES_S else 0.0


def seen_by(objective: Objective, requests: Sequence[Request]) -> list[Seen]:
    """What finished requests say of an objective, one by one; those that say nothing are left out."""
    bounds = objective.parts or ((objective.metric, objective.bound),)
    found: list[Seen] = []
    for request in requests:
        if objective.stage is not None and request.stage != objective.stage:
            continue
        bad = _bad(request, bounds)
        if bad is not None:
            found.append(Seen(bad, 1))
    return found


def _bad(request: Request, bounds: Iterable[tuple[str, Bound]]) -> bool | None:
    if request.outcome == "failed":
        return True
    if request.outcome != "completed":
        return None
    known = [(bound, value) for metric, bound in bounds if (value := _value(request, metric)) is not None]
    return not all(bound.met_by(value) for bound, value in known) if known else None


def _value(request: Request, metric: str) -> float | None:
    if metric in ("ttft", "tpot"):
        return request.ttft if metric == "ttft" else request.tpot
    if request.ended is None:
        return None
    whole = request.ended - request.sent
    if metric == "e2e":
        return whole
    return whole / request.output_tokens if request.output_tokens else None
