"""One objective against what was measured: value, confidence interval, and what is proven."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.results.result import Result, Stage
from pytest_llmdbench.verdicts.dependence import careful
from pytest_llmdbench.verdicts.sample import Counts, Sample
from pytest_llmdbench.verdicts.share import CONFIDENCE, Proof, lower_bound, proof, upper_bound

#: What a judgement rests on: single requests; the run as a whole, of which the number is a fact; several runs; or only
#: the statistic that a load program reported, which says nothing of its own uncertainty.
Basis = Literal["requests", "run", "runs", "reported"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One objective and what became of it.

    ``value``, ``low`` and ``high`` are in canonical units, None where they are not known; the interval leaves out
    on each side what a proof may be wrong by, 5 % where nothing else is said. ``requests`` were judged, ``bad`` of them
    bad, and ``worth`` independent ones is what they count; ``runs`` is how many were judged each by its own value.
    """

    objective: Objective
    outcome: Proof | Literal["NOT REPORTED"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    basis: Basis = "run"
    requests: int | None = None
    worth: float | None = None
    bad: float | None = None
    runs: int | None = None

    @property
    def met(self) -> bool:
        """Whether it is proven, or, of a number that is a fact, true."""
        return self.outcome == "PASS"

    @property
    def word(self) -> str:
        """``ok``, ``MISSED``, ``UNPROVEN`` or ``NOT REPORTED``."""
        words = {"PASS": "ok", "FAIL": "MISSED", "INCONCLUSIVE": "UNPROVEN", "NOT REPORTED": "NOT REPORTED"}
        return words[self.outcome]

    @property
    def margin(self) -> float | None:
        """How far the value is from the bound, as a share of the bound; above 0 is on the wrong side."""
        limit = self.objective.bound.limit
        if self.value is None or not limit:
            return None
        share = self.value / limit - 1
        return share if self.objective.bound.operator.startswith("<") else -share

    @property
    def interval(self) -> str:
        """The confidence interval for people: ``480 .. 530 ms``; empty where there is none."""
        if self.low is None and self.high is None:
            return ""
        ends = ["?" if end is None else self.objective.bound.show(end) for end in (self.low, self.high)]
        return " .. ".join(ends)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able data; values in canonical units."""
        objective = self.objective
        return {
            "objective": objective.text,
            "subject": objective.subject,
            "metric": objective.metric,
            "statistic": objective.statistic,
            "stage": objective.stage,
            "operator": objective.bound.operator,
            "bound": objective.bound.limit,
            "value": self.value,
            "shown": None if self.value is None else objective.bound.show(self.value),
            "outcome": self.outcome,
            "met": self.met,
            "margin": self.margin,
            "low": self.low,
            "high": self.high,
            "interval": self.interval,
            "requests": self.requests,
            "worth": self.worth,
            "bad": self.bad,
            "runs": self.runs,
            "basis": self.basis,
            "origin": objective.origin,
        }


def judge_objective(
    objective: Objective, result: Result, sample: Sample | None, confidence: float = CONFIDENCE
) -> Judged:
    """Judge one objective by single requests where there are any and it is about them, else by the run's own number."""
    judged: Judged | None = None
    if sample is not None:
        if objective.parts:
            judged = _by_goodput(objective, sample, confidence)
        elif objective.metric == "itl" and objective.percentile is not None:
            judged = _by_gaps(objective, sample, measured(result, objective), confidence)
        elif objective.percentile is not None:
            judged = _by_percentile(objective, sample, confidence)
        elif objective.statistic == "mean" and objective.metric != "itl":
            judged = _by_mean(objective, sample, confidence)
    return judged or _by_number(objective, result, alone=sample is None)


def value_of(objective: Objective, result: Result, sample: Sample | None) -> float | None:
    """What one run measured of an objective: by its single requests where there are any, else its own number."""
    import numpy as np

    if sample is not None and objective.parts:
        counts = sample.bad(dict(objective.parts))
        return None if counts is None else 1 - counts.bad / counts.number
    if sample is not None and objective.metric != "itl" and objective.statistic:
        values = sample.latencies(objective.metric)
        if len(values) and objective.percentile is not None:
            return float(np.quantile(values, objective.percentile / 100))
        if len(values) and objective.statistic == "mean":
            return float(np.mean(values))
    return measured(result, objective)


def measured(result: Result, objective: Objective) -> float | None:
    """The run's own value of an objective's metric, canonical units; None where it, or its stage, was not reported."""
    if objective.stage is None:
        stage = result.whole
    elif objective.stage < len(result.stages):
        stage = result.stages[objective.stage]
    else:
        return None
    match METRICS[objective.metric].form:
        case "statistic":
            distribution = stage.latencies.get(objective.metric)
            return distribution.statistic(objective.statistic) if distribution and objective.statistic else None
        case "named":
            values = result.scores if objective.metric == "score" else result.startup
            return values.get(objective.name or "")
        case "bounds":
            return None
        case _:
            return _plain(result, stage, objective)


def _plain(result: Result, stage: Stage, objective: Objective) -> float | None:
    if objective.metric == "error_rate":
        return stage.requests.error_rate
    if METRICS[objective.metric].kind in ("money", "energy"):
        return result.economy.get(objective.metric) if objective.stage is None else None
    value = getattr(stage, objective.metric)
    return None if value is None else float(value)


def _by_number(objective: Objective, result: Result, *, alone: bool) -> Judged:
    value = measured(result, objective)
    if value is None:
        return Judged(objective, "NOT REPORTED")
    # The run's own rate, or its slowest request, is a fact; a percentile says something of requests that were not sent.
    basis: Basis = "reported" if alone and METRICS[objective.metric].form == "statistic" else "run"
    return Judged(objective, "PASS" if objective.bound.met_by(value) else "FAIL", value, basis=basis)


def _by_percentile(objective: Objective, sample: Sample, confidence: float) -> Judged | None:
    counts = sample.bad({objective.metric: objective.bound})
    if counts is None:
        return None
    caution = careful(counts.factor, sample.factor(objective.metric))
    values = sample.latencies(objective.metric)
    found = _quantile(objective, counts, caution, values, confidence)
    return _proven(objective, counts, caution, *found, confidence=confidence)


def _by_goodput(objective: Objective, sample: Sample, confidence: float) -> Judged | None:
    bounds = dict(objective.parts)
    counts = sample.bad(bounds)
    if counts is None:
        return None
    caution = careful(counts.factor, *(sample.factor(metric) for metric in bounds))
    good = 1 - counts.bad / counts.number
    low = 1 - upper_bound(counts.bad / caution, counts.number / caution, confidence)
    high = 1 - lower_bound(counts.bad / counts.factor, counts.number / counts.factor, confidence)
    return _proven(objective, counts, caution, good, low, high, confidence=confidence)


def _by_gaps(objective: Objective, sample: Sample, value: float | None, confidence: float) -> Judged | None:
    found = sample.bad_gaps(objective.bound)
    if found is None:
        return None
    counts, worth = found
    return _proven(objective, counts, counts.factor, value, None, None, worth, confidence=confidence)


def _proven(
    objective: Objective, counts: Counts, caution: float, value: float | None, low: float | None, high: float | None,
    worth: float | None = None, *, confidence: float,
) -> Judged:  # fmt: skip
    allowed, factor = objective.allowed or 0.0, counts.factor
    outcome = proof(counts.bad, counts.number, allowed, factor=factor, caution=caution, confidence=confidence)
    own = counts.number / caution if worth is None else worth
    return Judged(objective, outcome, value, low, high, "requests", round(counts.number), own, counts.bad)


def _quantile(
    objective: Objective, counts: Counts, caution: float, values: Any, confidence: float
) -> tuple[float | None, float | None, float | None]:
    """The percentile and its interval, by the ranks that a binomial count leaves open; open ends are None.

    As in the proof requests count for less at the end that a PASS rests on.
    """
    import numpy as np

    if not len(values):
        return None, None, None
    share = (objective.percentile or 0.0) / 100
    number, whole = counts.number / caution, counts.number / counts.factor
    low_rank = lower_bound(share * whole, whole, confidence)
    high_rank = upper_bound(share * number, number, confidence)
    # Few requests leave the upper end open: no value among them is surely above the percentile.
    beyond = high_rank * number > number - 1
    at = np.quantile(values, [low_rank, share, min(high_rank, 1.0)])
    return float(at[1]), float(at[0]), None if beyond else float(at[2])


def _by_mean(objective: Objective, sample: Sample, confidence: float) -> Judged | None:
    values = sample.latencies(objective.metric)
    if not len(values):
        return None
    mean, worth = float(values.mean()), len(values) / careful(sample.factor(objective.metric))
    if worth < 2:
        return Judged(objective, "INCONCLUSIVE", mean, basis="requests", requests=len(values), worth=worth)
    from scipy.stats import t

    half = float(t.ppf(confidence, worth - 1)) * float(values.std(ddof=1)) / math.sqrt(worth)
    low, high = mean - half, mean + half
    bound = objective.bound
    outcome: Proof = "PASS" if bound.met_by(high) else "INCONCLUSIVE" if bound.met_by(low) else "FAIL"
    return Judged(objective, outcome, mean, low, high, "requests", len(values), worth)
