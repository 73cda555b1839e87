"""From a result and an SLO to a verdict. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.errors import counted
from pytest_llmdbench.results.result import Result, Stage

Outcome = Literal["PASS", "FAIL", "INVALID"]
#: Which of several verdicts is shown for a case: the highest.
RANK: Final = {"PASS": 0, "INVALID": 1, "FAIL": 2}


@dataclass(frozen=True, slots=True)
class Judged:
    """One objective against what was measured; ``value`` is None where the harness did not report it."""

    objective: Objective
    value: float | None

    @property
    def met(self) -> bool:
        """A metric that was not reported misses its objective."""
        return self.value is not None and self.objective.met_by(self.value)

    @property
    def word(self) -> str:
        """``ok``, ``MISSED`` or ``NOT REPORTED``."""
        if self.value is None:
            return "NOT REPORTED"
        return "ok" if self.met else "MISSED"

    @property
    def margin(self) -> float | None:
        """How far the value is from the bound, as a share of the bound; above 0 is on the wrong side."""
        if self.value is None or not self.objective.bound:
            return None
        share = self.value / self.objective.bound - 1
        return share if METRICS[self.objective.metric].lower_is_better else -share


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one result: the outcome, one line that says why, and every objective."""

    outcome: Outcome
    reason: str
    judged: tuple[Judged, ...] = ()

    @property
    def missed(self) -> tuple[Judged, ...]:
        """The objectives that were not met."""
        return tuple(judged for judged in self.judged if not judged.met)

    def table(self) -> str:
        """Outcome and all objectives, one a line, missed ones first: value, bound, margin and where it was declared."""
        rows: list[tuple[str, ...]] = []
        for judged in sorted(self.judged, key=lambda judged: judged.met):
            objective = judged.objective
            value = "-" if judged.value is None else objective.show(judged.value)
            margin = _margin(judged.margin)
            bound = f"{objective.operator} {objective.show(objective.bound)}"
            rows.append((judged.word, objective.subject, value, bound, margin, f"({objective.origin})"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([f"{self.outcome}: {self.reason}", *lines])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able data for ``verdict.json`` and the reports; values in canonical units."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "objectives": [
                {
                    "objective": judged.objective.text,
                    "subject": judged.objective.subject,
                    "operator": judged.objective.operator,
                    "bound": judged.objective.bound,
                    "value": judged.value,
                    "shown": None if judged.value is None else judged.objective.show(judged.value),
                    "met": judged.met,
                    "origin": judged.objective.origin,
                }
                for judged in self.judged
            ],
        }


def judge(result: Result, objectives: Sequence[Objective], max_error_rate: float) -> Verdict:
    """The verdict on one result.

    First whether anything was measured at all (requests completed, tokens came out, failures within
    ``max_error_rate``), then whether the measurement is sound, then the objectives.
    """
    judged = tuple(Judged(objective, measured(result, objective)) for objective in objectives)
    insane = _insane(result, max_error_rate)
    if insane:
        return Verdict("FAIL", insane, judged)
    unsound = _unsound(result)
    if unsound:
        return Verdict("INVALID", unsound, judged)
    missed = sum(not one.met for one in judged)
    if missed:
        return Verdict("FAIL", f"{missed} of {counted(len(judged), 'objective')} missed", judged)
    if not judged:
        return Verdict("PASS", "the load ran; no objectives were declared")
    return Verdict("PASS", f"{counted(len(judged), 'objective')} met", judged)


def measured(result: Result, objective: Objective) -> float | None:
    """The value of an objective's metric in canonical units; None where it, or its stage, was not reported."""
    if objective.stage is None:
        stage = result.whole
    elif objective.stage < len(result.stages):
        stage = result.stages[objective.stage]
    else:
        return None
    if objective.metric == "error_rate":
        return stage.requests.error_rate
    if METRICS[objective.metric].has_statistics:
        distribution = stage.latencies.get(objective.metric)
        return distribution.statistic(objective.statistic) if distribution and objective.statistic else None
    value = getattr(stage, objective.metric)
    return None if value is None else float(value)


def _insane(result: Result, max_error_rate: float) -> str | None:
    """Why nothing was measured; None if something was."""
    if result.purpose == "startup":
        return None if result.startup else "nothing is known of the engine's start"
    requests = result.whole.requests
    if not requests.completed:
        return f"no request completed, of {requests.offered} sent{_kinds(result.whole)}"
    if result.purpose == "accuracy" and not result.scores:
        return f"{counted(requests.completed, 'request')} completed, but there is no score"
    if result.purpose == "load" and not result.whole.output_tokens:
        return f"{counted(requests.completed, 'request')} completed, but no output token came out"
    rate = requests.error_rate or 0.0
    if rate > max_error_rate:
        return (
            f"{requests.failures} of {counted(requests.offered, 'request')} failed ({rate:.1%}; "
            f"sanity.max_error_rate allows {max_error_rate:.1%}){_kinds(result.whole)}"
        )
    return None


def _unsound(result: Result) -> str | None:
    """Why the numbers say more of this machine than of the stack; None if they do not."""
    lateness = result.server.get("lateness", {})
    if lateness.get("overloaded"):
        late = lateness.get("late_p99_s")
        said = f": its steps were up to {late * 1000:.1f} ms late (p99)" if isinstance(late, int | float) else ""
        return f"the simulator could not keep its own time on this machine{said}; free the machine or lower the load"
    return None


def _kinds(stage: Stage) -> str:
    kinds = sorted(stage.requests.failed.items(), key=lambda kind: -kind[1])
    return f" ({', '.join(f'{count} x {kind}' for kind, count in kinds[:3])})" if kinds else ""


def _margin(share: float | None) -> str:
    """``+12.0%``; from ten times the bound on, how many times."""
    if share is None:
        return ""
    return f"x{share + 1:.3g}" if share >= 9 else f"{share:+.1%}"


def assert_verdict(verdict: Verdict) -> None:
    """Raise SLOMissed or RunInvalid, whose text is the whole table, unless the verdict is PASS."""
    if verdict.outcome == "INVALID":
        raise RunInvalid(verdict)
    if verdict.outcome != "PASS":
        raise SLOMissed(verdict)


class NotPassed(AssertionError):
    """A verdict other than PASS; its text is the table of objectives, the same in terminal, JUnit and annotations."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.table())
        self.verdict = verdict


class SLOMissed(NotPassed):
    """An objective was missed, or the run did not get far enough to be measured."""


class RunInvalid(NotPassed):
    """The measurement is not sound; nothing is said of the stack."""
