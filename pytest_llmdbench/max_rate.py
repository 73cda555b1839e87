"""The ``max_rate`` fixture: runs a case's load at one rate after the other until the highest under its SLO is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.declared.rate_range import RateRange, rate_range
from pytest_llmdbench.declared.warmup import AUTO
from pytest_llmdbench.planned_search import at_rate, check_objectives, least_seconds
from pytest_llmdbench.verdicts.excess import limits_rate, worst_excess
from pytest_llmdbench.verdicts.highest_rate import Probe, Span, bracket, next_step
from pytest_llmdbench.verdicts.rate_claim import Point, RateFound, claim, found
from pytest_llmdbench.verdicts.share import requests_to_prove

if TYPE_CHECKING:
    from pytest_llmdbench.case import Case
    from pytest_llmdbench.results.result import Result
    from pytest_llmdbench.runner import Runner
    from pytest_llmdbench.say import Say
    from pytest_llmdbench.verdicts.verdict import Verdict

#: The search's own file, in the folder of the run that its verdict rests on.
FILE: Final = "max_rate.json"
#: How many times the requests that could just prove the SLO a run has: one on the way, one of full length.
SHORT: Final = 2
FULL: Final = 5
#: Requests of a run on the way where no objective says how many it takes.
REQUESTS: Final = 50
#: Said of a rate that is the answer, and whose run proves nothing.
_AS_MEASURED: Final = "at the highest rate the objectives are met as measured; so near the limit that is seldom proven"
#: With so many unsound runs before, another one is no chance.
MOST_CHANCES: Final = 2
#: A search that has not ended after so many runs will not: its runs contradict each other.
MOST_RUNS: Final = 20


@dataclass(frozen=True, slots=True)
class _Run:
    point: Point
    probe: Probe
    result: Result
    folder: Path
    verdict: Verdict


class MaxRate:
    """Each call is one search; it raises what :meth:`Slo.verify` raises, and gives what it found."""

    def __init__(
        self,
        case: Case,
        run: Runner,
        objectives: Sequence[Objective],
        record: dict[str, Any],
        marked: Mapping[str, Any],
        say: Say,
    ) -> None:
        self._case = case
        self._run = run
        self._objectives = tuple(objectives)
        self._record = record
        self._marked = marked
        self._say = say

    def __call__(self, **asked: Any) -> RateFound:
        """Find the highest rate at which the SLO is met; what is given here goes over the marker's.

        Raises:
            SLOMissed: not even the lowest rate meets it, or less than ``at_least`` does.
            Inconclusive: the limit was not found, or ``at_least`` is neither proven nor disproven.
            RunInvalid: nothing could be measured.
            DeclarationError: a range, a load or an SLO that cannot be meant.
        """
        from pytest_llmdbench.verdicts.verdict import assert_verdict

        wanted = rate_range({**self._marked, **asked}, "max_rate")
        check_objectives(self._objectives, self._case)
        runs: list[_Run] = []
        span = Span(wanted.low, wanted.high, wanted.tolerance)
        step = next_step(span, [])
        while step is not None and len(runs) < MOST_RUNS:
            runs.append(self._probe(step.rate, step.full, wanted))
            if not _may_be_chance(runs):
                step = next_step(span, [one.probe for one in runs])
        answer = _answer(runs, settled=step is None)
        if wanted.at_least is not None and _open(answer, wanted.at_least):
            runs.append(self._probe(wanted.at_least, True, wanted))
            answer = _answer(runs, settled=step is None)
        verdict = self._conclude(runs, answer, wanted)
        self._say(f"{self._case.id}: {verdict.outcome}: {verdict.reason}")
        assert_verdict(verdict)
        return answer

    def _probe(self, rate: float, full: bool, wanted: RateRange) -> _Run:
        from pytest_llmdbench.results.benchmark_report import write as write_reports
        from pytest_llmdbench.results.store import write_json
        from pytest_llmdbench.verdicts.verdict import judge

        seconds = self._seconds(rate, full, wanted)
        harness, workload = self._case.load.harness, self._case.load.workload
        profile = at_rate(self._case)(self._case.load.profile, rate, seconds)
        result, folder = self._run.measure(profile, rate * seconds / wanted.low)
        # The stages that are warm-up are not those of this load.
        warmup = AUTO if workload.warmup.stages else workload.warmup
        max_error_rate = self._case.stack.scenario.sanity.max_error_rate
        verdict = judge(result, self._objectives, max_error_rate, warmup)
        write_json(folder / "verdict.json", verdict.to_json())
        write_reports(folder)
        # A throughput that is too low is mended by no lower rate: the search does not go by it.
        limits = judge(result, [one for one in self._objectives if limits_rate(one)], max_error_rate, warmup)
        excess = worst_excess(limits.judged)
        met = limits.outcome in ("PASS", "INCONCLUSIVE") and excess is not None and excess <= 0
        throughput = _throughput(result)
        finite = excess if excess is not None and abs(excess) != float("inf") and (excess <= 0) == met else None
        probe = Probe(rate, met, finite, throughput, full)
        point = Point(
            rate, met, verdict.outcome, verdict.reason, full, result.whole.requests.offered,
            result.whole.achieved_rate, throughput, finite,
            {one.objective.subject: one.value for one in limits.judged}, str(folder),
        )  # fmt: skip
        word = "unsound" if limits.outcome == "INVALID" else "met" if met else "missed"
        self._say(f"{self._case.id}: {harness.name}: {rate:g} requests/s: {word}{_worst(limits)}")
        return _Run(point, probe, result, folder, verdict)

    def _seconds(self, rate: float, full: bool, wanted: RateRange) -> float:
        """Long enough for the SLO to be proven at the rate, and to see the stack settle."""
        least = least_seconds(self._case, wanted.seconds)
        needed = [requests_to_prove(one.allowed) for one in self._objectives if one.allowed is not None]
        requests = max(needed, default=REQUESTS)
        return max(least * FULL / SHORT, FULL * requests / rate) if full else max(least, SHORT * requests / rate)

    def _conclude(self, runs: Sequence[_Run], answer: RateFound, wanted: RateRange) -> Verdict:
        from pytest_llmdbench.results.record import result_facts
        from pytest_llmdbench.results.store import write_json

        shown = _shown(runs, answer, wanted)
        outcome, reason = claim(answer, wanted, shown.verdict.outcome, shown.verdict.reason)
        verdict = replace(shown.verdict, outcome=outcome, reason=reason)
        if outcome == "PASS" and shown.verdict.outcome == "INCONCLUSIVE":
            verdict = replace(verdict, notes=(*verdict.notes, _AS_MEASURED))
        data = answer.to_json(wanted)
        write_json(shown.folder / FILE, data)
        self._record |= {
            "result": result_facts(shown.result),
            "verdict": verdict.to_json(),
            "folder": str(shown.folder),
            "max_rate": data,
        }
        return verdict


def _answer(runs: Sequence[_Run], settled: bool) -> RateFound:
    known = bracket([one.probe for one in runs])
    above = next((one.point for one in runs if one.probe is known.missed), None)
    return found(known.met.rate if known.met else None, above, settled, [one.point for one in runs])


def _may_be_chance(runs: Sequence[_Run]) -> bool:
    """Whether the last run was unsound and is made again: it counts if it is so once more.

    Not the first one, where a load program may well not keep up; nor where that happens all the time.
    """
    *earlier, last = (one.point for one in runs)
    before = [one.rate for one in earlier[1:] if one.outcome == "INVALID"]
    return last.outcome == "INVALID" and bool(earlier) and last.rate not in before and len(before) < MOST_CHANCES


def _open(answer: RateFound, at_least: float) -> bool:
    """Whether a run at the rate that is demanded could tell what is not known yet."""
    if answer.proven is not None and answer.proven >= at_least:
        return False
    if any(one.full and one.rate == at_least for one in answer.curve):
        return False
    return answer.rate is not None and (answer.above is None or at_least < answer.above)


def _shown(runs: Sequence[_Run], answer: RateFound, wanted: RateRange) -> _Run:
    """The run that the verdict rests on: at the rate demanded or proven, else at the one found, else at the lowest."""
    demanded = [one for one in runs if wanted.at_least is not None and one.point.rate >= wanted.at_least]
    proven = [one for one in demanded if one.point.outcome == "PASS"]
    if proven:
        return max(proven, key=lambda one: one.point.rate)
    at = wanted.at_least if wanted.at_least is not None else answer.rate
    full = [one for one in runs if one.point.full and one.point.rate in (at, answer.rate)]
    if full:
        # The later of two at one rate is the longer; that at the rate demanded goes first.
        return max(enumerate(full), key=lambda one: (one[1].point.rate == at, one[0]))[1]
    return min(runs, key=lambda one: one.point.rate)


def _throughput(result: Result) -> float | None:
    """Requests completed a second while the load was in full swing: from a quarter of them on to three quarters."""
    from pytest_llmdbench.results.table import RequestTable

    if result.table is None or not result.table.is_file():
        return result.whole.requests_per_second
    import numpy as np

    ended = RequestTable(result.table).values("ended")
    if len(ended) < 8:
        return result.whole.requests_per_second
    begin, end = np.quantile(ended, [0.25, 0.75])
    return float(len(ended) / 2 / (end - begin)) if end > begin else None


def _worst(verdict: Verdict) -> str:
    known = [one for one in verdict.judged if one.margin is not None and one.value is not None]
    if not known:
        return ""
    worst = max(known, key=lambda one: one.margin or 0.0)
    bound = worst.objective.bound
    return f" ({worst.objective.subject} {bound.show(worst.value or 0.0)}, bound {bound.show(bound.limit)})"
