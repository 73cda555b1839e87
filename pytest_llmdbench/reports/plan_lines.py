"""What ``--llmd-dry-run`` prints of the plan: stacks, their cases, the load of each, and what is good enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_llmdbench.errors import counted
from pytest_llmdbench.reports.units import show_duration

if TYPE_CHECKING:
    from pytest_llmdbench.case import Case
    from pytest_llmdbench.declared.objective import Objective
    from pytest_llmdbench.harnesses.harness import PlannedStage
    from pytest_llmdbench.repeats import Repeats


@dataclass(frozen=True)
class PlannedTest:
    """A selected test: its case, and what it does with it.

    ``objectives`` are what is good enough; None where the test sends no load and has the stack alone. ``searched`` is
    what its markers say of a search for the highest rate; None where it looks for none.
    """

    test: str
    case: Case
    objectives: Sequence[Objective] | None
    searched: Mapping[str, Any] | None = None

    @property
    def expected_s(self) -> float | None:
        """How long all its load takes, in seconds; None where that is not known."""
        if self.objectives is None:
            return 0.0
        once = self.case.load.expected_s
        return None if once is None else once * self.case.repeats.runs


def plan_lines(tests: Sequence[PlannedTest]) -> Iterator[str]:
    """Stacks, below them cases with load and expected duration; the objectives of each, or once where all are alike."""
    stacks = {one.case.stack.spec.key: one.case.stack for one in tests}
    texts = [_objectives(one.objectives) for one in tests if one.objectives is not None]
    alike = len(texts) > 1 and len(set(texts)) == 1
    shared = Counter(one.case.id for one in tests)
    yield f"{counted(len(tests), 'case')} on {counted(len(stacks), 'stack')}"
    yield ""
    for key, stack in stacks.items():
        given = [one for one in tests if one.case.stack.spec.key == key]
        long = _total([one.expected_s for one in given])
        known = f"{long} of load" if long else "how long the load takes is not known"
        yield f"stack {key}: {stack.spec.deploy}, model {stack.scenario.model.name}; {known}"
        for one in given:
            yield f"  {one.case.id if shared[one.case.id] == 1 else one.test}"
            yield f"    {_does(one)}"
            if one.objectives is not None and not alike:
                yield f"    objectives: {_objectives(one.objectives)}"
    yield ""
    if alike:
        yield f"objectives of every load: {texts[0]}"
    long = _total([one.expected_s for one in tests])
    yield f"expected duration of all load, one after the other: {long or 'not known'}"


def _objectives(objectives: Sequence[Objective]) -> str:
    return ", ".join(one.text for one in objectives) or "none"


def _does(one: PlannedTest) -> str:
    if one.objectives is None:
        return "no load: the test has the stack alone"
    if one.searched is not None:
        return _search(one.case, one.searched)
    return f"{_stages(one.case.load.stages)}; {_size(one.case)}{_often(one.case.repeats)}"


def _search(case: Case, said: Mapping[str, Any]) -> str:
    """``search from 1 to 30/s, in runs of at least 10 s``; how many there will be nobody knows."""
    from pytest_llmdbench.planned_search import least_seconds

    limits = f"from {said['low']:g} to {said['high']:g}/s" if {"low", "high"} <= said.keys() else "where the test says"
    return f"search {limits}, in runs of at least {least_seconds(case, said.get('seconds')):g} s"


def _size(case: Case) -> str:
    """``300 requests, 60 s``, or what of the two is not known."""
    seconds, known = case.load.expected_s, [stage.requests for stage in case.load.stages if stage.requests is not None]
    many = counted(round(sum(known)), "request") if len(known) == len(case.load.stages) else ""
    long = "" if seconds is None else show_duration(seconds)
    if many and long:
        return f"{many}, {long}"
    if many:
        return f"{many}, how long they take is not known"
    return f"{long}, how many requests is not known" if long else "how many requests and how long is not known"


def _often(repeats: Repeats) -> str:
    """``; 3 times, and up to 2 more if nobody can tell``."""
    often = f"; {repeats.runs} times" if repeats.runs > 1 else ""
    return often + (f"; up to {repeats.more} more if nobody can tell" if repeats.more else "")


def _stages(stages: Sequence[PlannedStage]) -> str:
    def one(stage: PlannedStage) -> str:
        if stage.rate is not None:
            return f"{stage.rate:g}/s" + (f" for {stage.duration_s:g} s" if stage.duration_s else "")
        if stage.concurrency is not None:
            return f"{stage.concurrency} at once"
        return "as the data say"

    return ", ".join(one(stage) for stage in stages) or "no stages"


def _total(seconds: Sequence[float | None]) -> str | None:
    """``1 min 20 s``; ``at least 43 s`` where some are not known, None where none is."""
    known = [one for one in seconds if one is not None]
    if len(known) == len(seconds):
        return show_duration(sum(known))
    return f"at least {show_duration(sum(known))}" if any(known) else None
