"""What ``--llmd-dry-run`` prints of the plan: stacks, their cases, the load of each, and what is good enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_llmdbench.errors import counted
from pytest_llmdbench.reports.units import show_duration

if TYPE_CHECKING:
    from pytest_llmdbench.declared.objective import Objective
    from pytest_llmdbench.harnesses.harness import PlannedStage
    from pytest_llmdbench.plan import Case
    from pytest_llmdbench.repeats import Repeats

#: A case with its objectives, which depend on the test too.
WithObjectives = tuple["Case", Sequence["Objective"]]


def plan_lines(cases: Sequence[WithObjectives]) -> Iterator[str]:
    """Stacks, below them cases with load and expected duration; the objectives of each, or once where all are alike."""
    stacks = {case.stack.spec.key: case.stack for case, _ in cases}
    texts = [_objectives(objectives) for _, objectives in cases]
    alike = len(cases) > 1 and len(set(texts)) == 1
    yield f"{counted(len(cases), 'case')} on {counted(len(stacks), 'stack')}"
    yield ""
    for key, stack in stacks.items():
        given = [(case, text) for (case, _), text in zip(cases, texts, strict=True) if case.stack.spec.key == key]
        seconds = _total([_expected_s(case) for case, _ in given])
        long = "how long the load takes is not known" if seconds is None else f"{show_duration(seconds)} of load"
        yield f"stack {key}: {stack.spec.deploy}, model {stack.scenario.model.name}; {long}"
        for case, text in given:
            yield f"  {case.id}"
            yield f"    {_stages(case.load.stages)}; {_size(case)}{_often(case.repeats)}"
            if not alike:
                yield f"    objectives: {text}"
    yield ""
    if alike:
        yield f"objectives of every case: {texts[0]}"
    seconds = _total([_expected_s(case) for case, _ in cases])
    long = "not known" if seconds is None else show_duration(seconds)
    yield f"expected duration of all load, one after the other: {long}"


def _objectives(objectives: Sequence[Objective]) -> str:
    return ", ".join(one.text for one in objectives) or "none"


def _size(case: Case) -> str:
    """``300 requests, 60 s``, or what of the two is not known."""
    seconds, requests = case.load.expected_s, _total([stage.requests for stage in case.load.stages])
    many = "" if requests is None else counted(round(requests), "request")
    long = "" if seconds is None else show_duration(seconds)
    if many and long:
        return f"{many}, {long}"
    if many:
        return f"{many}, how long they take is not known"
    return f"{long}, how many requests is not known" if long else "how many requests and how long is not known"


def _expected_s(case: Case) -> float | None:
    return None if case.load.expected_s is None else case.load.expected_s * case.repeats.runs


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


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
