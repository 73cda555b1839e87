"""What a load cost in money and energy: GPUs of the stack x their price x the time of the load, and joules by DCGM.

Only what is known is in it. A stack without GPUs costs nothing that could be counted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from pytest_llmdbench.declared.cluster import Accelerator
from pytest_llmdbench.declared.prices import price_of
from pytest_llmdbench.results.result import Result

#: Metrics that are per this many generated tokens.
_TOKENS: Final = 1_000_000
#: How much of the load the readings of a GPU have to cover for its energy to be known.
_COVERED: Final = 0.9

_Points = Sequence[tuple[float, float]]


def economy(result: Result, accelerator: Accelerator, deployed: Mapping[str, Any]) -> dict[str, float]:
    """What goes into ``Result.economy``.

    ``deployed`` are the facts of the stack's endpoint: ``gpus`` in it is how many were deployed. The time that is paid
    for is that of the load, from the first request sent to the last one ended.

    ``gpus``, ``price_per_hour`` (of one GPU), ``cost`` and ``cost_per_1m_output_tokens`` are in the price's currency,
    ``energy`` and ``energy_per_1m_output_tokens`` in joules.

    Raises:
        DeclarationError: the price table cannot be read.
    """
    gpus, price = accelerator.gpus or deployed.get("gpus") or None, price_of(accelerator)
    seconds = result.whole.duration_s
    made: dict[str, float] = {} if gpus is None else {"gpus": float(gpus)}
    if gpus and price:
        made["price_per_hour"] = price.per_hour
        if seconds:
            made["cost"] = gpus * price.per_hour * seconds / 3600
    window = _window(result)
    joules = energy(result.server.get("metrics") or {}, window, gpus) if window else None
    if window and joules is not None:
        # Where only the servers say when they were at work, that is a part of the load: the rest of it is like it.
        made["energy"] = joules * (seconds / (window[1] - window[0]) if seconds else 1.0)
    return _with_shares(made, result.whole.output_tokens)


def together(runs: Sequence[Result]) -> dict[str, float]:
    """What several runs of one load on one stack cost in all; only what is known of every one of them."""
    shared = set.intersection(*(set(one.economy) for one in runs)) if runs else set()
    made: dict[str, float] = {name: runs[0].economy[name] for name in ("gpus", "price_per_hour") if name in shared}
    made |= {name: sum(one.economy[name] for one in runs) for name in ("cost", "energy") if name in shared}
    return _with_shares(made, sum(one.whole.output_tokens or 0 for one in runs))


def _with_shares(made: Mapping[str, float], output_tokens: int | None) -> dict[str, float]:
    """Money and energy with what they are of a million generated tokens."""
    known = [name for name in ("cost", "energy") if name in made] if output_tokens else []
    return {**made, **{f"{name}_per_1m_output_tokens": made[name] / (output_tokens or 1) * _TOKENS for name in known}}


def energy(metrics: Mapping[str, Any], window: tuple[float, float], gpus: int | None) -> float | None:
    """Joules that the stack's GPUs took between two times, in seconds since 1970; None where they are not known.

    Takes ``Result.server["metrics"]``. By the GPUs' own counters of energy, else by their power over time, each taken
    as a straight line between two readings. An exporter may tell of a node with more GPUs than the stack has, or of
    fewer: then nobody knows what the stack took.
    """
    components = metrics.get("components") or ()
    for name in ("gpu_energy", "gpu_power"):
        shown = [one for one in components if name in (one.get("series") or {})]
        # GPUs that an exporter counts to a pod are that pod's; a whole node's may be anybody's.
        counted = sum(len(((one.get("aggregate") or {}).get(name) or {}).get("by") or (None,)) for one in shown)
        if not shown or (counted != gpus if gpus else any(one.get("role") == "gpu" for one in shown)):
            continue
        taken = [_taken(name, one["series"][name].get("points") or (), window) for one in shown]
        known = [joules for joules in taken if joules]
        if len(known) == len(shown):
            return sum(known)
    return None


def _taken(name: str, points: _Points, window: tuple[float, float]) -> float | None:
    """Joules within the window; what is not covered of it is taken to be like the rest."""
    risen = list(_integral(points)) if name == "gpu_power" else list(points)
    if len(risen) < 2:  # one reading has no duration
        return None
    begin, end = max(window[0], risen[0][0]), min(window[1], risen[-1][0])
    whole = window[1] - window[0]
    if whole <= 0 or end - begin < _COVERED * whole:
        return None
    return (_at(risen, end) - _at(risen, begin)) / (end - begin) * whole


def _integral(points: _Points) -> Iterator[tuple[float, float]]:
    """Power over time as energy so far."""
    risen = 0.0
    yield from ((when, risen) for when, _ in points[:1])
    for (before, low), (when, high) in pairwise(points):
        risen += (when - before) * (low + high) / 2
        yield when, risen


def _at(points: _Points, when: float) -> float:
    """The value of a series at a time that is within it."""
    for (before, low), (after, high) in pairwise(points):
        if when <= after:
            return low + (high - low) * (when - before) / (after - before) if after > before else high
    return points[-1][1]


def _window(result: Result) -> tuple[float, float] | None:
    """From the first request sent to the last one ended, or where the servers were at work; seconds since 1970."""
    if result.table is not None and result.whole.duration_s:
        from pytest_llmdbench.results.table import RequestTable

        sent = RequestTable(result.table).values("sent", None, None)
        if len(sent):
            return float(sent.min()), float(sent.min()) + result.whole.duration_s
    loaded = (result.server.get("metrics") or {}).get("loaded")
    return (loaded[0], loaded[1]) if loaded else None
