"""Objectives: ``ttft.p99 <= 500ms``, ``error_rate <= 0.1%``, ``e2e.p95@stage2 <= 8s``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.declared.metrics import METRICS, UNITS, Metric
from pytest_llmdbench.errors import DeclarationError, nearest

_FORM: Final = re.compile(
    r"\s*(?P<metric>[A-Za-z_]\w*)(?:\.(?P<statistic>[A-Za-z]\w*(?:\.\d+)?))?(?:@stage(?P<stage>\d+))?"
    r"\s*(?P<operator><=|>=|<|>)\s*(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(?P<unit>[^\s\d]*)\s*"
)
_STATISTICS: Final = ("mean", "min", "max", "median")


@dataclass(frozen=True, slots=True)
class Objective:
    """A bound on a metric. ``bound`` is in canonical units (seconds, shares of 1, a second).

    ``stage`` counts from 0, as the harness does; None is the whole run. ``origin`` says where it was declared.
    """

    metric: str
    statistic: str | None
    stage: int | None
    operator: str
    bound: float
    unit: str
    origin: str

    @property
    def subject(self) -> str:
        """What is measured: ``e2e.p95@stage2``. The nearest declaration of a subject wins."""
        statistic = f".{self.statistic}" if self.statistic else ""
        return f"{self.metric}{statistic}" + (f"@stage{self.stage}" if self.stage is not None else "")

    @property
    def text(self) -> str:
        """The objective as people write it."""
        return f"{self.subject} {self.operator} {self.show(self.bound)}"

    def show(self, value: float) -> str:
        """A value of this objective's metric, in the unit that the objective is written in."""
        scale = UNITS[METRICS[self.metric].kind][self.unit]
        number = f"{value / scale:.4g}" if abs(value / scale) < 10_000 else f"{value / scale:.0f}"
        return f"{number} {self.unit}" if self.unit.isalpha() else f"{number}{self.unit}"

    def met_by(self, value: float) -> bool:
        """Whether ``value``, in canonical units, is within the bound."""
        match self.operator:
            case "<=":
                return value <= self.bound
            case "<":
                return value < self.bound
            case ">=":
                return value >= self.bound
            case _:
                return value > self.bound


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
    statistic = match["statistic"]
    if metric.has_statistics:
        reason = _wrong_statistic(metric, statistic)
        if reason:
            raise wrong(reason)
    elif statistic:
        raise wrong(f"'{metric.name}' is one number and has no '{statistic}'")
    if match["operator"].startswith("<") != metric.lower_is_better:
        better = "lower: use <= or <" if metric.lower_is_better else "higher: use >= or >"
        raise wrong(f"{metric.name} is better when {better}")
    units = UNITS[metric.kind]
    unit = match["unit"]
    if unit not in units:
        given = f"no unit '{unit}' for {metric.name}" if unit else "the bound needs a unit"
        raise wrong(f"{given}: one of {', '.join(repr(known) for known in units if known)}")
    bound = float(match["number"]) * units[unit]
    if bound < 0:
        raise wrong("the bound is negative")
    stage = int(match["stage"]) if match["stage"] else None
    return Objective(metric.name, statistic, stage, match["operator"], bound, unit, origin)


def _wrong_statistic(metric: Metric, statistic: str | None) -> str | None:
    if statistic is None:
        return f"say which statistic: {metric.name}.p99, {metric.name}.mean, ..."
    if statistic in _STATISTICS:
        return None
    percentile = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)", statistic)
    if percentile is None:
        return f"no statistic '{statistic}'; there is {', '.join(_STATISTICS)} and p50 ... p99.9"
    return None


def parse_objectives(texts: Iterable[str], origin: str) -> tuple[Objective, ...]:
    """Read several; one text may hold many, separated by commas. Raises as :func:`parse_objective`."""
    parts = [part for text in texts for part in text.split(",") if part.strip()]
    return tuple(parse_objective(part.strip(), origin) for part in parts)


def nearest_wins(*layers: Iterable[Objective]) -> tuple[Objective, ...]:
    """Merge SLOs, the farthest first: a later objective replaces an earlier one on the same subject."""
    merged: dict[str, Objective] = {}
    for layer in layers:
        for objective in layer:
            merged[objective.subject] = objective
    return tuple(merged.values())
