"""From a result and an SLO to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.declared.warmup import AUTO, Warmup
from pytest_llmdbench.errors import counted
from pytest_llmdbench.results.result import Result, Stage
from pytest_llmdbench.verdicts.judged import Judged, judge_objective
from pytest_llmdbench.verdicts.soundness import unsound
from pytest_llmdbench.verdicts.warmup import warmup_s

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import RequestTable
    from pytest_llmdbench.verdicts.sample import Sample

Outcome = Literal["PASS", "INCONCLUSIVE", "INVALID", "FAIL"]
#: Which of several verdicts is shown for a case: the highest.
RANK: Final = {"PASS": 0, "INCONCLUSIVE": 1, "INVALID": 2, "FAIL": 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one result: the outcome, one line that says why, and every objective.

    ``warmup`` maps a stage to the seconds of its beginning that were left out; ``notes`` say what makes the verdict
    weaker than it looks.
    """

    outcome: Outcome
    reason: str
    judged: tuple[Judged, ...] = ()
    warmup: Mapping[int, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def missed(self) -> tuple[Judged, ...]:
        """The objectives that were not met."""
        return tuple(judged for judged in self.judged if not judged.met)

    def table(self) -> str:
        """Outcome and all objectives, one a line, missed ones first: value, bound, margin and where it was declared."""
        rows: list[tuple[str, ...]] = []
        for judged in sorted(self.judged, key=lambda judged: _ORDER.index(judged.outcome)):
            objective = judged.objective
            value = "-" if judged.value is None else objective.bound.show(judged.value)
            interval = f"({judged.interval})" if judged.interval else ""
            origin = f"({objective.origin})"
            rows.append(
                (judged.word, objective.subject, value, interval, objective.bound.text, _margin(judged.margin), origin)
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True) if width).rstrip()
            for row in rows
        ]
        return "\n".join([f"{self.outcome}: {self.reason}", *lines, *(f"note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON-able data for ``verdict.json`` and the reports; values in canonical units."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "warmup_s": {str(stage): seconds for stage, seconds in self.warmup.items()},
            "notes": list(self.notes),
            "objectives": [judged.to_json() for judged in self.judged],
        }


#: Objectives in the order that tables show them.
_ORDER: Final = ("FAIL", "NOT REPORTED", "INCONCLUSIVE", "PASS")


def judge(result: Result, objectives: Sequence[Objective], max_error_rate: float, warmup: Warmup = AUTO) -> Verdict:
    """The verdict on one result.

    First whether anything was measured at all (requests completed, tokens came out, failures within
    ``max_error_rate``), then whether the measurement is sound, then the objectives: by the single requests, where the
    harness kept them, without the ``warmup``.
    """
    from pytest_llmdbench.results.table import RequestTable

    table = RequestTable(result.table) if result.table is not None and result.table.is_file() else None
    cuts, notes = _cuts(result, table, warmup) if table is not None else ({}, ())
    judged = tuple(judge_objective(one, result, _sample(result, table, one.stage, cuts)) for one in objectives)
    if any(one.basis == "reported" for one in judged):
        notes = (*notes, "there are no single requests: percentiles are as the load program reports them, unproven")

    def verdict(outcome: Outcome, reason: str) -> Verdict:
        return Verdict(outcome, reason, judged, {stage: one for stage, one in cuts.items() if one}, notes)

    insane = _insane(result, max_error_rate)
    if insane:
        return verdict("FAIL", insane)
    reasons = list(unsound(result, judged, _window(table)))
    if reasons:
        return verdict("INVALID", "; ".join(reasons))
    missed = sum(one.outcome in ("FAIL", "NOT REPORTED") for one in judged)
    if missed:
        return verdict("FAIL", f"{missed} of {counted(len(judged), 'objective')} missed")
    unproven = [one for one in judged if one.outcome == "INCONCLUSIVE"]
    if unproven:
        return verdict("INCONCLUSIVE", _why(unproven, len(judged)))
    if not judged:
        return verdict("PASS", "the load ran; no objectives were declared")
    return verdict("PASS", f"{counted(len(judged), 'objective')} met")


def _why(unproven: Sequence[Judged], number: int) -> str:
    first = unproven[0]
    told = ""
    if first.requests and first.worth is not None and first.worth < 0.9 * first.requests:
        told = f"; {first.requests} requests depend on each other and are worth {first.worth:.0f}"
    elif first.requests:
        told = f"; {counted(first.requests, 'request')} cannot tell"
    return f"{len(unproven)} of {counted(number, 'objective')} neither proven nor disproven{told}: run a longer load"


def _cuts(result: Result, table: RequestTable, warmup: Warmup) -> tuple[dict[int, float], tuple[str, ...]]:
    """Stage -> seconds of its beginning that are left out; and what there is to say of it."""
    stages = range(max(1, len(result.stages)))
    if not warmup.auto:
        cuts = {stage: float("inf") if stage < warmup.stages else 0.0 for stage in stages}
        if warmup.seconds:
            cuts[0] = warmup.seconds
        return cuts, ()
    found: dict[int, float] = {}
    unsettled: list[int] = []
    for stage in stages:
        chosen = table.chosen(stage, "completed")
        sent, whole = table.column("sent")[chosen], table.values("e2e", stage)
        cut = warmup_s(sent, whole)
        found[stage] = cut or 0.0
        if cut is None:
            unsettled.append(stage)
    where = ", ".join(map(str, unsettled))
    return found, (f"stage {where} had not settled at its half; a longer one would tell more",) if unsettled else ()


def _sample(result: Result, table: RequestTable | None, stage: int | None, cuts: Mapping[int, float]) -> Sample | None:
    from pytest_llmdbench.verdicts.sample import Sample

    if table is None or (stage is not None and stage >= len(result.stages)):
        return None
    own = result.whole if stage is None else result.stages[stage]
    lost = max(0, own.requests.unfinished - table.count(stage, "unfinished"))
    return Sample(table, stage, cuts, lost)


def _window(table: RequestTable | None) -> tuple[float, float] | None:
    if table is None or not len(table):
        return None
    ended = table.values("ended", None, None)
    return (float(table.values("sent", None, None).min()), float(ended.max())) if len(ended) else None


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


def _kinds(stage: Stage) -> str:
    kinds = sorted(stage.requests.failed.items(), key=lambda kind: -kind[1])
    return f" ({', '.join(f'{count} x {kind}' for kind, count in kinds[:3])})" if kinds else ""


def _margin(share: float | None) -> str:
    """``+12.0%``; from ten times the bound on, how many times."""
    if share is None:
        return ""
    return f"x{share + 1:.3g}" if share >= 9 else f"{share:+.1%}"


def assert_verdict(verdict: Verdict) -> None:
    """Raise SLOMissed, RunInvalid or Inconclusive, whose text is the whole table, unless the verdict is PASS."""
    if verdict.outcome == "INVALID":
        raise RunInvalid(verdict)
    if verdict.outcome == "INCONCLUSIVE":
        raise Inconclusive(verdict)
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


class Inconclusive(NotPassed):
    """The run is sound, and too short to tell whether an objective is met."""
