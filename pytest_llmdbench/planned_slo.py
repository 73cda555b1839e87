"""The SLO of a case: which of all declared objectives hold, and which its load can never measure or prove. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from pytest_llmdbench.case import Case
from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.objective import Objective, nearest_wins
from pytest_llmdbench.declared.prices import countable, metered
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.measurable import cannot_measure
from pytest_llmdbench.planned_load import PlannedLoad
from pytest_llmdbench.provable import cannot_prove, hardest_to_prove
from pytest_llmdbench.repeats import Repeats


def slo_of(
    case: Case, of_test: Iterable[Objective], of_option: Iterable[Objective], *, of_several: bool
) -> tuple[Objective, ...]:
    """The nearest objective on each subject: scenario < workload < test < option.

    A scenario's objectives hold for every load on its stack, but for what a harness is not there to measure, and
    what a smoke load is too short to prove. The first holds for an option's objectives as well where loads
    ``of_several`` harnesses were asked for.

    Raises:
        DeclarationError: an objective on a stage that the load does not have, on money that nobody can count, or on
            energy that nobody measures.
    """
    load = case.load
    purpose, workload = load.harness.purpose, load.workload
    of_stack = _of_stack(load, case.stack.objectives, case.repeats)
    meant = [one for one in of_option if purpose in METRICS[one.metric].purposes or not of_several]
    merged = nearest_wins(of_stack, workload.objectives, of_test, meant)
    check_stages(merged, case)
    for objective in merged:
        ask = {"money": countable, "energy": metered}.get(METRICS[objective.metric].kind)
        if ask and (missing := ask(case.stack.scenario)):
            raise DeclarationError(f"{objective.origin}: objective '{objective.text}': {missing}")
    return merged


@cache
def _of_stack(load: PlannedLoad, objectives: tuple[Objective, ...], repeats: Repeats) -> Sequence[Objective]:
    """The same on every stack with these objectives: looked for once, for there may be thousands of cases."""
    workload = load.workload
    return [
        one
        for one in objectives
        if load.harness.purpose in METRICS[one.metric].purposes
        and not (workload.header.smoke and cannot_prove(one, load.stages, workload.warmup, repeats))
    ]


def check_stages(objectives: Iterable[Objective], case: Case) -> None:
    """Raise DeclarationError for an objective on a stage that the load of a case does not have."""
    stages = len(case.load.stages)
    for objective in objectives:
        if stages and objective.stage is not None and objective.stage >= stages:
            raise DeclarationError(
                f"{objective.origin}: objective '{objective.text}': "
                f"the last stage of {case.load.workload.name} is stage{stages - 1}"
            )


def unprovable(case: Case, objectives: Sequence[Objective]) -> str | None:
    """Why a load cannot measure or prove its objectives, however good the stack is; None if it can all."""
    found = _unprovable(case.load, tuple(objectives), case.pods, case.repeats)
    return f"{case.id}: {found}" if found else None


@cache
def _unprovable(load: PlannedLoad, objectives: tuple[Objective, ...], pods: int, repeats: Repeats) -> str | None:
    """As above: the same on every stack."""
    reasons = (cannot_measure(one, load.harness, load.profile, pods) for one in objectives)
    unmeasured = next(filter(None, reasons), None)
    return unmeasured or hardest_to_prove(objectives, load.stages, load.workload.warmup, repeats)
