"""Whether a case got worse than its baseline: a verdict beside that of the SLO.

The gate: the shift of run-level values is beyond a margin, a rank test of the runs finds it, and it would hardly come
up by chance in any of the metrics that decide. All are needed: a threshold alone takes the noise of a tail for news,
and a test of pooled requests finds every difference between two runs of the same thing. Simulated in
``tests/performance/test_regression.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal

from pytest_llmdbench.errors import counted
from pytest_llmdbench.results.baseline import Baseline, CaseRuns
from pytest_llmdbench.verdicts.noise import UNMEASURED, averaged, noise_floor
from pytest_llmdbench.verdicts.run_level import COMPARED
from pytest_llmdbench.verdicts.shift import LEVEL, Shift, runs_to_tell, shift, spread
from pytest_llmdbench.verdicts.together import chances

Word = Literal["REGRESSION", "NO REGRESSION", "INCONCLUSIVE"]
#: The fewest runs that a rank test can find anything with and leave some room: of the baseline, and of what is new.
FEWEST_BEFORE: Final = 5
FEWEST_AFTER: Final = 3
#: A 95th percentile of fewer runs' ratios is a rough one.
ENOUGH_NOISE: Final = 10
#: What decides over a case: the usual measures of a serving stack. More would take more runs to find anything.
DECIDING: Final = ("ttft.p50", "ttft.p99", "tpot.p50", "tpot.p99", "e2e.p50", "e2e.p99", "output_tokens_per_second")
#: One-sided, of the standard error within a run.
_SURE: Final = 1.645


@dataclass(frozen=True, slots=True)
class Change:
    """One metric, now against then. ``before`` and ``after`` are medians of runs in canonical units.

    ``ratio`` is after to before, ``low`` and ``high`` its interval, which leaves out 5 % at most on each side; None
    where there is none. ``chance`` is that of a finding like it, in any of the metrics that decide, where nothing
    changed. ``margin`` is the share by which it may be worse. ``runs`` are those of the baseline and the
    new ones. ``basis`` is what it rests on: run-level values, or the weaker requests within few runs.
    """

    metric: str
    word: Word
    runs: tuple[int, int]
    margin: float
    before: float | None = None
    after: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    basis: Literal["runs", "requests", "none"] = "none"
    reason: str = ""

    @property
    def decides(self) -> bool:
        """Whether the case's verdict rests on it; others are shown."""
        return self.metric in DECIDING

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able data; values in canonical units."""
        compared = COMPARED[self.metric]
        return {
            "metric": self.metric, "outcome": self.word, "decides": self.decides, "reason": self.reason,
            "before": self.before, "after": self.after, "ratio": self.ratio, "low": self.low, "high": self.high,
            "margin": self.margin, "chance": self.chance, "basis": self.basis,
            "runs_before": self.runs[0], "runs_after": self.runs[1],
            "unit": "s" if compared.metric.kind == "time" else "/s" if compared.metric.kind == "rate" else "",
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Regression:
    """What is said of one case against its baseline: the outcome, why, and every metric.

    ``notes`` say what makes it weaker than it looks, or what differs between then and now.
    """

    case: str
    outcome: Word
    reason: str
    baseline: str
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able data for a case's record and files."""
        return {
            "case": self.case,
            "outcome": self.outcome,
            "reason": self.reason,
            "baseline": self.baseline,
            "notes": list(self.notes),
            "metrics": [change.to_json() for change in self.changes],
        }


def compare(baseline: Baseline, now: CaseRuns, margin: float) -> Regression:
    """Compare the runs of a case with a baseline; ``margin`` is the share by which a metric may be worse."""
    before = baseline.of(now)
    if before is None or not before.runs:
        reason = "the baseline has no runs of this case, or of several and not which"
        return Regression(now.case, "INCONCLUSIVE", reason, baseline.origin)
    if not now.runs:
        return Regression(now.case, "INCONCLUSIVE", "no run measured anything sound to compare", baseline.origin)
    together = _together(before, now)
    changes = tuple(_change(name, before, now, margin, together) for name in COMPARED if _has(name, before, now))
    deciding = [change for change in changes if change.decides] or list(changes)
    notes = [f"not as in the baseline: {difference}" for difference in now.differences(before)]
    if any(change.basis == "requests" for change in changes):
        notes.append(
            f"fewer than {FEWEST_BEFORE} runs of the baseline and {FEWEST_AFTER} new ones: judged within the runs, "
            "which is weaker and can never show that there is no regression"
        )
    noise = before.noise or now.noise
    if noise is not None and noise.runs < ENOUGH_NOISE:
        notes.append(f"the noise floor is that of {counted(noise.runs, 'run')}: measure it with --llmd-aa 5 or more")
    return Regression(now.case, *_outcome(deciding), baseline.origin, changes, tuple(notes))


def _has(name: str, *sides: CaseRuns) -> bool:
    return any(name in run.values for side in sides for run in side.runs)


def _together(before: CaseRuns, now: CaseRuns) -> Mapping[str, float]:
    """For each metric that decides, the chance of a shift as far in any of them; of metrics that all runs have."""
    names = [name for name in DECIDING if all(name in run.values for side in (before, now) for run in side.runs)]
    if not names:
        return {}
    old, new = ([[_worse(name, run.values[name]) for name in names] for run in side.runs] for side in (before, now))
    return dict(zip(names, chances(old, new), strict=True))


def _worse(name: str, value: float) -> float:
    """The logarithm of a value, with the sign so that up is worse."""
    return math.log(value) * (1 if COMPARED[name].lower_is_better else -1)


def _outcome(deciding: Sequence[Change]) -> tuple[Word, str]:
    worse = [change for change in deciding if change.word == "REGRESSION"]
    if worse:
        names = ", ".join(f"{change.metric} {(change.ratio or 1) - 1:+.1%}" for change in worse)
        return "REGRESSION", f"worse than the baseline: {names}"
    open_ones = [change for change in deciding if change.word == "INCONCLUSIVE"]
    if open_ones:
        first = open_ones[0]
        told = f"{len(open_ones)} of {counted(len(deciding), 'metric')} cannot be told"
        return "INCONCLUSIVE", f"{told}; {first.metric}: {first.reason}"
    if not deciding:
        return "INCONCLUSIVE", "there is no metric to compare"
    return "NO REGRESSION", f"{counted(len(deciding), 'metric')} within the margin"


def _change(name: str, before: CaseRuns, now: CaseRuns, declared: float, together: Mapping[str, float]) -> Change:
    """Judge one metric, in logarithms with the sign so that up is worse."""
    sign = 1 if COMPARED[name].lower_is_better else -1
    old, new = ([_worse(name, run.values[name]) for run in side.runs if name in run.values] for side in (before, now))
    runs = (len(old), len(new))
    if not old or not new:
        absent = "the baseline does not have it" if not old else "it was not reported this time"
        return Change(name, "INCONCLUSIVE", runs, declared, _middle(sign, old), _middle(sign, new), reason=absent)
    floor = noise_floor(before.noise or now.noise, name, *runs)
    margin = max(math.log1p(declared), floor or 0.0)
    known = _shown(name, sign, runs, margin, old, new)
    if len(old) >= FEWEST_BEFORE and len(new) >= FEWEST_AFTER:
        return _by_runs(known, sign, shift(old, new), margin, spread(old, new), together.get(name))
    errors = [[run.errors.get(name) for run in side.runs if name in run.values] for side in (before, now)]
    found = shift(old, new).estimate
    ratio = math.exp(sign * found)
    few = (
        f"{counted(len(old), 'run')} of the baseline and {len(new)} new; it takes {FEWEST_BEFORE} and {FEWEST_AFTER} "
        "to tell runs apart from how runs vary"
    )
    error = _within(errors)
    if error is None:
        return Change(**known, word="INCONCLUSIVE", ratio=ratio, reason=few)
    noise = max(margin, floor if floor is not None else averaged(UNMEASURED, *runs))
    low, high = found - _SURE * error, found + _SURE * error
    interval = _interval(sign, low, high)
    if low > noise:
        reason = f"beyond the margin and a run-to-run noise of {math.expm1(noise):.1%}, by the requests of few runs"
        return Change(**known | {"margin": math.expm1(noise)}, word="REGRESSION", ratio=ratio, **interval,
                      basis="requests", reason=reason)  # fmt: skip
    return Change(**known, word="INCONCLUSIVE", ratio=ratio, **interval, basis="requests", reason=few)


def _by_runs(
    known: Mapping[str, Any], sign: int, found: Shift, margin: float, deviation: float | None, together: float | None
) -> Change:
    """The gate proper, by values of runs; ``together`` is the chance among all metrics that decide."""
    low, high = found.low, found.high
    about: dict[str, Any] = {**known, **_interval(sign, low, high), "ratio": math.exp(sign * found.estimate)}
    chance = max(found.chance, together or 0.0)
    about |= {"chance": chance, "basis": "runs"}
    if found.estimate > margin and chance <= LEVEL:
        return Change(**about, word="REGRESSION", reason=f"beyond the margin of {math.expm1(margin):.1%}")
    if high is not None and high < margin:
        return Change(**about, word="NO REGRESSION", reason=f"surely within the margin of {math.expm1(margin):.1%}")
    needed = runs_to_tell(deviation, margin) if deviation else None
    more = f": {needed} runs on each side would tell" if needed and needed > min(known["runs"]) else ""
    reason = f"it may be worse by more than the margin of {math.expm1(margin):.1%}, or not{more}"
    return Change(**about, word="INCONCLUSIVE", reason=reason)


def _within(errors: Sequence[Sequence[float | None]]) -> float | None:
    """The standard error of the difference of the sides' means, from those within runs; None where one is unknown."""
    squares = 0.0
    for side in errors:
        known = [error for error in side if error is not None]
        if len(known) < len(side):
            return None
        squares += sum(error * error for error in known) / len(side) ** 2
    return math.sqrt(squares)


def _shown(
    name: str, sign: int, runs: tuple[int, int], margin: float, old: Sequence[float], new: Sequence[float]
) -> dict[str, Any]:
    """What is said of a metric whatever its word."""
    return {
        "metric": name, "runs": runs, "margin": math.expm1(margin),
        "before": _middle(sign, old), "after": _middle(sign, new),
    }  # fmt: skip


def _middle(sign: int, logarithms: Sequence[float]) -> float | None:
    return math.exp(sign * median(logarithms)) if logarithms else None


def _interval(sign: int, low: float | None, high: float | None) -> dict[str, Any]:
    """An interval of shifts for the worse, as one of ratios."""
    ends = sorted(math.exp(sign * end) for end in (low, high) if end is not None)
    return {"low": ends[0], "high": ends[1]} if len(ends) == 2 else {"low": None, "high": None}


class Regressed(AssertionError):
    """A case that is worse than its baseline; its text is the table of metrics, the same wherever it is shown."""

    def __init__(self, regression: Regression, text: str) -> None:
        super().__init__(text)
        self.regression = regression
