"""The highest rate that a stack serves within its SLO: which rate to try next. Pure: runs in, the next rate out.

The first run is far above what the stack can serve: how many requests it completes a second there tells about where
its limit is. From then on there is a bracket: a rate at which the SLO was met, and one above it at which it was not.
The next rate is where a line through both, of the logarithm of latency over bound, crosses the bound. It is kept
within 15 to 85 % of the bracket, so that a cliff, where such a line tells nothing, still halves the bracket about; and
it is moved to the far side of a near end, so that it closes the bracket if the line is right. Runs grow to full length
when the bracket is nearly closed; the rate that is found was met by one of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: The share of the completed requests a second of the first run that the second one asks for.
FIRST: Final = 0.88
#: No rate above so many times that number is tried, until one near it turns out to be met.
CAP: Final = 1.02
#: The part of a bracket that the next rate is in.
INSIDE: Final = (0.15, 0.85)
#: A bracket of so many times the tolerance is near enough for runs of full length.
NEAR: Final = 2.5
#: Rates are given with four digits; what that changes counts for nothing.
ROUNDING: Final = 1.001


@dataclass(frozen=True, slots=True)
class Span:
    """Where the rate is looked for, in requests a second, and how near the answer has to be, as a share of it."""

    low: float
    high: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One run at a rate.

    ``excess`` is the logarithm of the worst measured value over its bound, at most 0 where the SLO was ``met``; None
    where no such number is known. ``throughput`` is completed requests a second. ``full``: a run of full length.
    """

    rate: float
    met: bool
    excess: float | None = None
    throughput: float | None = None
    full: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """The next run."""

    rate: float
    full: bool = False


@dataclass(frozen=True, slots=True)
class Bracket:
    """``missed`` is the lowest rate that was not met, ``met`` the highest below it that was; None: there is none."""

    met: Probe | None
    missed: Probe | None


def bracket(probes: Sequence[Probe]) -> Bracket:
    """What is known from the runs so far; of two at one rate the longer counts, then the later."""
    at: dict[float, Probe] = {}
    for probe in probes:
        if probe.full or probe.rate not in at or not at[probe.rate].full:
            at[probe.rate] = probe
    missed = min((one for one in at.values() if not one.met), key=_rate, default=None)
    met = (one for one in at.values() if one.met and (missed is None or one.rate < missed.rate))
    return Bracket(max(met, key=_rate, default=None), missed)


def next_step(span: Span, probes: Sequence[Probe]) -> Step | None:
    """The run to make next; None when the answer is there: see :func:`bracket`."""
    if not probes:
        return Step(span.high)
    known = bracket(probes)
    met, missed = known.met, known.missed
    low = met.rate if met else span.low
    if missed is None or missed.rate <= low * (1 + span.tolerance) * ROUNDING:
        # As near as it has to be; or met even at the highest rate that was asked for, or not even at the lowest.
        known_enough = (met is not None and met.full) or (missed is not None and missed.rate <= span.low)
        return None if known_enough else Step(low if missed else span.high, full=True)
    if len(probes) == 1:
        return Step(_digits(_first(span, missed)))
    width, crossing = missed.rate / low, _crossing(span, known, probes)
    if met and width <= (1 + NEAR * span.tolerance) * ROUNDING:
        # Met there, it is the answer; missed, the rate below is near enough.
        nearest = missed.rate / (1 + span.tolerance)
        return Step(_digits(max(min(crossing, low * (1 + span.tolerance)), nearest)), full=True)
    return Step(_digits(_inside(span, known, low, crossing, probes[0].throughput)))


def _first(span: Span, saturated: Probe) -> float:
    guess = FIRST * (saturated.throughput or 0.0)
    return guess if span.low < guess < saturated.rate else math.sqrt(span.low * saturated.rate)


def _crossing(span: Span, known: Bracket, probes: Sequence[Probe]) -> float:
    """Where the line crosses the bound; the middle of the bracket where there is no line."""
    ends = [known.met, known.missed]
    if known.met is None:
        ends = list(sorted((one for one in probes if one.excess is not None), key=_rate)[:2])
    if len(ends) == 2 and ends[0] and ends[1] and ends[0].excess is not None and ends[1].excess is not None:
        rise = ends[1].excess - ends[0].excess
        if rise > 0:
            return ends[0].rate - ends[0].excess * (ends[1].rate - ends[0].rate) / rise
    low = known.met.rate if known.met else span.low
    return (low + (known.missed.rate if known.missed else span.high)) / 2


def _inside(span: Span, known: Bracket, low: float, crossing: float, served: float | None) -> float:
    high = known.missed.rate if known.missed else span.high
    near = 1 + span.tolerance
    if known.met and crossing <= low * near:
        crossing = low * near
    elif crossing >= high / near:
        crossing = high / near
    least, most = (low + share * (high - low) for share in INSIDE)
    rate = min(max(crossing, least), most)
    if served and low < served * CAP / ROUNDING:
        rate = min(rate, max(served * CAP, low * near))
    # The most that is served may be below the bracket's lower end, of which nothing is known yet.
    return max(rate, low)


def _rate(probe: Probe) -> float:
    return probe.rate


def _digits(rate: float) -> float:
    return float(f"{rate:.4g}")
