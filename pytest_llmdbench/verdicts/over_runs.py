"""What the runs of a repeated load say together: each gives one value, and fresh runs do not depend on each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Final

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.verdicts.judged import Judged
from pytest_llmdbench.verdicts.share import CONFIDENCE, Proof

#: Fewer runs say nothing of how runs differ.
FEWEST_RUNS: Final = 3


def over_runs(judged: Judged, values: Sequence[float | None], confidence: float = CONFIDENCE) -> Judged:
    """A judgement by all requests together, with what the run-level ``values`` say of it.

    The one-sided bounds of the mean of few values are Student's (1908). To be met an objective has to be proven by the
    requests and by the runs, where both can tell; to be missed by one of them. The interval is that of the runs. A
    share of failures is a fact, and stays one.
    """
    known = [one for one in values if one is not None]
    counted = METRICS[judged.objective.metric].kind == "share" and not judged.objective.parts
    if len(known) < len(values) or len(known) < FEWEST_RUNS or judged.outcome == "NOT REPORTED" or counted:
        return judged
    low, high = interval(known, confidence)
    bound = judged.objective.bound
    proven, open_ = bound.met_by(low) and bound.met_by(high), bound.met_by(low) or bound.met_by(high)
    by_runs: Proof = "PASS" if proven else "INCONCLUSIVE" if open_ else "FAIL"
    outcomes = {by_runs} | ({judged.outcome} if judged.basis == "requests" else set())
    outcome: Proof = "FAIL" if "FAIL" in outcomes else "PASS" if outcomes == {"PASS"} else "INCONCLUSIVE"
    return replace(judged, outcome=outcome, low=low, high=high, basis="runs", runs=len(known))


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The bounds of the mean that the true one is above, and below, each with ``confidence``; of 2 values or more."""
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, confidence)) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half
