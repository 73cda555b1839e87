"""From a result and an SLO to a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.declared.warmup import AUTO, Warmup
from pytest_llmdbench.errors import counted
from pytest_llmdbench.results.result import Result, Stage
from pytest_llmdbench.verdicts.cuts import Cuts, cuts_of
from pytest_llmdbench.verdicts.judged import Judged, judge_objective, value_of
from pytest_llmdbench.verdicts.over_runs import FEWEST_RUNS, over_runs
from pytest_llmdbench.verdicts.share import CONFIDENCE
from pytest_llmdbench.verdicts.soundness import between, lateness, unsound, window_of

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import RequestTable
    from pytest_llmdbench.verdicts.sample import Sample

Outcome = Literal["PASS", "INCONCLUSIVE", "INVALID", "FAIL"]
#: Which of several verdicts is shown for a case: the highest.
RANK: Final = {"PASS": 0, "INCONCLUSIVE": 1, "INVALID": 2, "FAIL": 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one result: the outcome, one line that says why, and every objective.

    ``warmup`` maps a stage to the seconds of its beginning that were left out, of repeated runs the most; ``notes`` say
    what makes the verdict weaker than it looks.
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


def judge(
    result: Result,
    objectives: Sequence[Objective],
    max_error_rate: float,
    warmup: Warmup = AUTO,
    confidence: float = CONFIDENCE,
) -> Verdict:
    """The verdict on one result, each of its proofs with ``confidence``.

    First whether the load was given up and whether anything was measured at all (requests completed, tokens came out,
    failures within ``max_error_rate``), then whether the measurement is sound, then the objectives: by the single
    requests, where the harness kept them, without the ``warmup``. Of a repeated load every run has to be sound, and the
    objectives are judged by all requests together and by the single runs.
    """
    from pytest_llmdbench.results.table import RequestTable

    table = RequestTable(result.table) if result.table is not None and result.table.is_file() else None
    cuts, notes = cuts_of(result, table, warmup) if table is not None else ({}, ())
    # Of what was given up before it had anything to read no objective is missed for that.
    judge_all = result.abandoned is None or result.whole.requests.offered > 0
    # Of objectives on the same requests, which mostly follow each other, they are put in order once.
    sample = lru_cache(maxsize=1)(lambda stage: _sample(result, table, stage, cuts))
    judged = tuple(_judged(one, result, sample(one.stage), table, confidence) for one in objectives if judge_all)
    if any(one.basis == "reported" for one in judged):
        what = "requests" if table is None else "gaps"
        notes = (*notes, f"there are no single {what}: percentiles are as the load program reports them, unproven")
    if 1 < len(result.runs) < FEWEST_RUNS and judged:
        notes = (*notes, f"how runs differ is not known: that takes {FEWEST_RUNS} runs")
    if confidence > CONFIDENCE:
        notes = (
            *notes,
            f"it may be looked at several times, so each proof has to be {confidence:.1%} sure (Bonferroni)",
        )

    def verdict(outcome: Outcome, reason: str) -> Verdict:
        left_out = {stage: max(cuts[key] for key in cuts if key[1] == stage) for _, stage in cuts}
        return Verdict(outcome, reason, judged, {stage: one for stage, one in left_out.items() if one}, notes)

    hopeless = result.abandoned or _insane(result, max_error_rate)
    if hopeless:
        return verdict("FAIL", hopeless)
    reasons = list(_unsound(result, judged, table))
    if reasons:
        return verdict("INVALID", "; ".join(reasons))
    late = dict.fromkeys(reason for run in (result.runs or (result,)) for reason in lateness(run))
    notes = (*notes, *(f"{reason}. In time it would come out alike" for reason in late))
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
        told = f"; {counted(first.requests, 'request')}{_in_runs(first)} cannot tell"
    return f"{len(unproven)} of {counted(number, 'objective')} neither proven nor disproven{told}: run a longer load"


def _in_runs(judged: Judged) -> str:
    return f" in {counted(judged.runs, 'run')}" if judged.runs else ""


def _judged(
    objective: Objective, result: Result, sample: Sample | None, table: RequestTable | None, confidence: float
) -> Judged:
    """One objective by everything that was measured, and by the single runs where there are enough."""
    judged = judge_objective(objective, result, sample, confidence)
    stage, values = objective.stage, []
    for run, one in enumerate(result.runs):
        own = None
        if table is not None and sample is not None and (stage is None or stage < len(one.stages)):
            own = sample.of_run(run, _lost(one, table, stage, run))
        values.append(value_of(objective, one, own))
    return over_runs(judged, values, confidence)


def _unsound(result: Result, judged: Sequence[Judged], table: RequestTable | None) -> Iterator[str]:
    """Every reason why a result does not count; of a repeated load with the run, from 1, that is not sound."""
    if not result.runs:
        yield from unsound(result, judged, window_of(table))
        return
    for run, one in enumerate(result.runs):
        for reason in unsound(one, judged, window_of(table, run)):
            yield f"run {run + 1}: {reason}"
    yield from between(result.runs)


def _sample(result: Result, table: RequestTable | None, stage: int | None, cuts: Cuts) -> Sample | None:
    from pytest_llmdbench.verdicts.sample import Sample

    if table is None or (stage is not None and stage >= len(result.stages)):
        return None
    return Sample(table, stage, cuts, _lost(result, table, stage))


def _lost(result: Result, table: RequestTable, stage: int | None, run: int | None = None) -> int:
    """How many requests were asked for and are not in the table."""
    own = result.whole if stage is None else result.stages[stage]
    return max(0, own.requests.unfinished - int(table.chosen(stage, "unfinished", run).sum()))


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
