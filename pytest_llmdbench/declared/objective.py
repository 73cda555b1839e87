"""Objectives: ``ttft.p99 <= 500ms``, ``error_rate <= 0.1%``, ``goodput(ttft <= 500ms, tpot <= 30ms)@stage2 >= 95%``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.declared.metrics import METRICS, UNITS, Kind, Metric
from pytest_llmdbench.errors import DeclarationError, nearest

_BOUND: Final = r"\s*(?P<operator><=|>=|<|>)\s*(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(?P<unit>[^\s\d]*)\s*"
_FORM: Final = re.compile(
    r"\s*(?P<metric>[A-Za-z_]\w*)(?:\((?P<within>[^()]*)\))?(?:\.(?P<statistic>[A-Za-z]\w*(?:\.\d+)?))?"
    r"(?:@stage(?P<stage>\d+))?" + _BOUND
)
_STATISTICS: Final = ("mean", "min", "max", "median")
#: What a request can be good or bad by, as in goodput.
_OF_A_REQUEST: Final = ("ttft", "tpot", "e2e", "normalized_tpot")


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound on a value: ``<= 500ms``. ``limit`` is in canonical units (seconds, shares of 1, a second)."""

    operator: str
    limit: float
    unit: str
    kind: Kind

    @property
    def text(self) -> str:
        """The bound as people write it."""
        return f"{self.operator} {self.show(self.limit)}"

    def show(self, value: float) -> str:
        """A value, in the unit that the bound is written in."""
        scale = UNITS[self.kind][self.unit]
        number = f"{value / scale:.4g}" if abs(value / scale) < 10_000 else f"{value / scale:.0f}"
        return f"{number} {self.unit}" if self.unit.isalpha() else f"{number}{self.unit}"

    def met_by(self, value: float) -> bool:
        """Whether ``value``, in canonical units, is within the bound."""
        match self.operator:
            case "<=":
                return value <= self.limit
            case "<":
                return value < self.limit
            case ">=":
                return value >= self.limit
            case _:
                return value > self.limit


@dataclass(frozen=True, slots=True)
class Objective:
    """A bound on a metric.

    ``statistic`` is there for metrics that are distributions, ``parts`` (metric -> bound of a single request) for
    goodput, ``name`` for scores and the like. ``stage`` counts from 0, as the harness does; None is the whole run.
    ``origin`` says where it was declared.
    """

    metric: str
    bound: Bound
    origin: str
    statistic: str | None = None
    stage: int | None = None
    parts: tuple[tuple[str, Bound], ...] = ()
    name: str | None = None

    @property
    def subject(self) -> str:
        """What is measured: ``e2e.p95@stage2``. The nearest declaration of a subject wins."""
        within = ", ".join(f"{metric} {bound.text}" for metric, bound in self.parts) or self.name
        statistic = f".{self.statistic}" if self.statistic else ""
        stage = f"@stage{self.stage}" if self.stage is not None else ""
        return f"{self.metric}{f'({within})' if within else ''}{statistic}{stage}"

    @property
    def text(self) -> str:
        """The objective as people write it."""
        return f"{self.subject} {self.bound.text}"

    @property
    def percentile(self) -> float | None:
        """The percentile that the statistic names, 0..100; None where it is another one."""
        if self.statistic is None or self.statistic in ("mean", "min", "max"):
            return None
        return 50.0 if self.statistic == "median" else float(self.statistic[1:])

    @property
    def allowed(self) -> float | None:
        """The share of requests that may be bad, 0..1; None where the objective is not about a share of requests."""
        if self.parts:
            return 1 - self.bound.limit
        return None if self.percentile is None else 1 - self.percentile / 100


def parse_objective(text: str, origin: str) -> Objective:
    """Read one objective.

    Raises:
        DeclarationError: not of the form, an unknown metric or statistic (with the nearest), a unit that is absent
            or of another kind, or an operator that asks for the worse.
    """

    def wrong(reason: str) -> DeclarationError:
        return DeclarationError(f"{origin}: objective {text!r}: {reason}")

    match = _FORM.fullmatch(text)
    if match is None:
        raise wrong("expected METRIC[.STATISTIC][@stageN] <=|<|>=|> BOUND, as in 'ttft.p99 <= 500ms'")
    metric = METRICS.get(match["metric"])
    if metric is None:
        raise wrong(f"no metric '{match['metric']}'; {nearest(match['metric'], METRICS)}")
    statistic, within = match["statistic"], match["within"]
    reason = _wrong_form(metric, statistic, within)
    if reason:
        raise wrong(reason)
    try:
        bound = _bound(metric, match, within)
        parts = tuple(_part(one) for one in (within or "").split(",")) if metric.form == "bounds" else ()
    except ValueError as error:
        raise wrong(str(error)) from error
    if metric.form == "bounds" and not 0 < bound.limit < 1:
        raise wrong("a share between 0% and 100% can be proven, neither of the two")
    stage = int(match["stage"]) if match["stage"] else None
    name = (within or "").strip() if metric.form == "named" else None
    return Objective(metric.name, bound, origin, statistic, stage, parts, name)


def _wrong_form(metric: Metric, statistic: str | None, within: str | None) -> str | None:
    """What is wrong with what stands behind a metric's name; None if nothing is."""
    if metric.form == "statistic":
        return f"'{metric.name}' takes no brackets" if within is not None else _wrong_statistic(metric, statistic)
    if statistic:
        return f"'{metric.name}' is one number and has no '{statistic}'"
    if metric.form == "plain":
        return f"'{metric.name}' takes no brackets" if within is not None else None
    if not (within or "").strip():
        example = "(ttft <= 500ms, tpot <= 30ms)" if metric.form == "bounds" else "(NAME)"
        return f"say of what: {metric.name}{example}"
    return None


def _wrong_statistic(metric: Metric, statistic: str | None) -> str | None:
    if statistic is None:
        return f"say which statistic: {metric.name}.p99, {metric.name}.mean, ..."
    if statistic in _STATISTICS:
        return None
    percentile = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)", statistic)
    if percentile is None or float(percentile[1]) == 0:
        return f"no statistic '{statistic}'; there is {', '.join(_STATISTICS)} and p50 ... p99.9"
    return None


def _bound(metric: Metric, match: re.Match[str], within: str | None = None) -> Bound:
    """Raises ValueError with the reason."""
    if metric.lower_is_better is not None and match["operator"].startswith("<") != metric.lower_is_better:
        better = "lower: use <= or <" if metric.lower_is_better else "higher: use >= or >"
        raise ValueError(f"{metric.name} is better when {better}")
    kind: Kind = "time" if metric.form == "named" and (within or "").strip().endswith("_s") else metric.kind
    unit = match["unit"]
    if unit not in UNITS[kind]:
        given = f"no unit '{unit}' for {metric.name}" if unit else "the bound needs a unit"
        raise ValueError(f"{given}: one of {', '.join(repr(known) for known in UNITS[kind] if known) or 'none'}")
    limit = float(match["number"]) * UNITS[kind][unit]
    if limit < 0:
        raise ValueError("the bound is negative")
    return Bound(match["operator"], limit, unit, kind)


def _part(text: str) -> tuple[str, Bound]:
    """One bound of a single request: ``ttft <= 500ms``. Raises ValueError with the reason."""
    match = re.fullmatch(r"\s*(?P<metric>[A-Za-z_]\w*)" + _BOUND, text)
    if match is None:
        raise ValueError(f"{text.strip()!r} should be METRIC <= BOUND, as in 'ttft <= 500ms'")
    if match["metric"] not in _OF_A_REQUEST:
        raise ValueError(f"a request has no '{match['metric']}'; {nearest(match['metric'], _OF_A_REQUEST)}")
    return match["metric"], _bound(METRICS[match["metric"]], match)


def parse_objectives(texts: Iterable[str], origin: str) -> tuple[Objective, ...]:
    """Read several; one text may hold many, separated by commas. Raises as :func:`parse_objective`."""
    # A comma inside brackets belongs to one objective.
    parts = [part for text in texts for part in re.split(r",(?![^()]*\))", text) if part.strip()]
    return tuple(parse_objective(part.strip(), origin) for part in parts)


def nearest_wins(*layers: Iterable[Objective]) -> tuple[Objective, ...]:
    """Merge SLOs, the farthest first: a later objective replaces an earlier one on the same subject."""
    merged: dict[str, Objective] = {}
    for layer in layers:
        for objective in layer:
            merged[objective.subject] = objective
    return tuple(merged.values())
