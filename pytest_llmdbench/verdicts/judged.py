"""One objective against what was measured: value, confidence interval, and what is proven."""

from __future__ import annotations

import math
from bisect import bisect_left
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
    judged = judged or _by_number(objective, result, alone=sample is None)
    of_requests = objective.percentile is not None or objective.statistic == "mean"
    if sample is None or len(sample) or not of_requests or judged.outcome == "NOT REPORTED":
        return judged
    # All were sent while it was warming up: the number of the whole run says nothing of what came after.
    return Judged(objective, "INCONCLUSIVE", basis="requests", requests=0)


def value_of(objective: Objective, result: Result, sample: Sample | None) -> float | None:
    """What one run measured of an objective: by its single requests where there are any, else its own number."""
    import numpy as np

    if sample is not None and objective.parts:
        counts = sample.bad(dict(objective.parts))
        return None if counts is None else 1 - counts.bad / counts.number
    if sample is not None and objective.metric != "itl":
        if objective.percentile is not None and len(values := sample.latencies(objective.metric)):
            return float(np.quantile(values, objective.percentile / 100, overwrite_input=True))
        if objective.statistic == "mean" and len(values := sample.latencies(objective.metric, objective.bound)):
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
    statistic = METRICS[objective.metric].form == "statistic"
    basis: Basis = "reported" if statistic and (alone or objective.percentile is not None) else "run"
    return Judged(objective, "PASS" if objective.bound.met_by(value) else "FAIL", value, basis=basis)


def _by_percentile(objective: Objective, sample: Sample, confidence: float) -> Judged | None:
    counts = sample.bad({objective.metric: objective.bound})
    if counts is None:
        return None
    caution = careful(counts.factor, sample.factor(objective.metric))
    found = _quantile(objective, counts, caution, sample.latencies(objective.metric), confidence)
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
    counts, caution = found
    return _proven(objective, counts, caution, value, None, None, confidence=confidence)


def _proven(
    objective: Objective, counts: Counts, caution: float, value: float | None, low: float | None, high: float | None,
    *, confidence: float,
) -> Judged:  # fmt: skip
    allowed, factor = objective.allowed or 0.0, counts.factor
    outcome = proof(counts.bad, counts.number, allowed, factor=factor, caution=caution, confidence=confidence)
    worth = counts.number / caution
    return Judged(objective, outcome, value, low, high, "requests", round(counts.number), worth, counts.bad)


def _quantile(
    objective: Objective, counts: Counts, caution: float, values: Any, confidence: float
) -> tuple[float | None, float | None, float | None]:
    """The percentile and its interval: all bounds that are neither proven missed nor proven met; open ends are None.

    It is the proof turned round, so that a bound is below the interval if and only if it is missed, and at its upper
    end or above if and only if it is met. Requests without a latency are slower than all others.
    """
    import numpy as np

    if not len(values):
        return None, None, None
    values.sort()
    number, allowed = round(counts.number), objective.allowed or 0.0
    missed = range(1, number + 1)
    fewest = bisect_left(
        missed, True, key=lambda bad: lower_bound(bad / counts.factor, number / counts.factor, confidence) > allowed
    )
    met = range(number + 1)
    most = bisect_left(met, True, key=lambda bad: upper_bound(bad / caution, number / caution, confidence) > allowed)
    # With as many requests over a bound as prove a miss, the slowest but so many is over it.
    low = values[min(number - missed[fewest], len(values) - 1)] if fewest < len(missed) else None
    high = values[number - most] if most and number - most < len(values) else None
    value = np.quantile(values, (objective.percentile or 0.0) / 100)
    return float(value), None if low is None else float(low), None if high is None else float(high)


def _by_mean(objective: Objective, sample: Sample, confidence: float) -> Judged | None:
    caution = careful(sample.factor(objective.metric))
    values = sample.latencies(objective.metric, late=objective.bound)
    if not len(values):
        return None
    mean, worth = float(values.mean()), len(values) / caution
    if worth < 2:
        return Judged(objective, "INCONCLUSIVE", mean, basis="requests", requests=len(values), worth=worth)
    from scipy.stats import t

    values -= mean  # numpy's own deviation takes two columns more
    deviation = math.sqrt(float(values @ values) / (len(values) - 1))
    half = float(t.ppf(confidence, worth - 1)) * deviation / math.sqrt(worth)
    low, high = mean - half, mean + half
    bound = objective.bound
    outcome: Proof = "PASS" if bound.met_by(high) else "INCONCLUSIVE" if bound.met_by(low) else "FAIL"
    return Judged(objective, outcome, mean, low, high, "requests", len(values), worth)
