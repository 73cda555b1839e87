"""The SLO of a case: which of all declared objectives hold, and which its load can never measure or prove. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_llmdbench.case import Case
from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.declared.objective import Objective, nearest_wins
from pytest_llmdbench.declared.prices import countable
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.measurable import cannot_measure
from pytest_llmdbench.provable import cannot_prove


def slo_of(
    case: Case, of_test: Iterable[Objective], of_option: Iterable[Objective], *, of_several: bool
) -> tuple[Objective, ...]:
    """The nearest objective on each subject: scenario < workload < test < option.

    A scenario's objectives hold for every load on its stack, but for what a harness is not there to measure, and
    what a smoke load is too short to prove. The first holds for an option's objectives as well where loads
    ``of_several`` harnesses were asked for.

    Raises:
        DeclarationError: an objective on a stage that the load does not have, or on money that nobody can count.
    """
    load = case.load
    purpose, workload = load.harness.purpose, load.workload
    of_stack = [
        one
        for one in case.stack.objectives
        if purpose in METRICS[one.metric].purposes
        and not (workload.header.smoke and cannot_prove(one, load.stages, workload.warmup, case.repeats))
    ]
    meant = [one for one in of_option if purpose in METRICS[one.metric].purposes or not of_several]
    merged = nearest_wins(of_stack, workload.objectives, of_test, meant)
    stages = len(load.stages)
    for objective in merged:
        if stages and objective.stage is not None and objective.stage >= stages:
            raise DeclarationError(
                f"{objective.origin}: objective '{objective.text}': "
                f"the last stage of {workload.name} is stage{stages - 1}"
            )
        if METRICS[objective.metric].kind == "money" and (missing := countable(case.stack.scenario)):
            raise DeclarationError(f"{objective.origin}: objective '{objective.text}': {missing}")
    return merged


def unprovable(case: Case, objectives: Iterable[Objective]) -> str | None:
    """Why a load cannot measure or prove one of its objectives, however good the stack is; None if it can all."""
    load = case.load
    reasons = (
        cannot_measure(one, load.harness, load.profile, case.pods)
        or cannot_prove(one, load.stages, load.workload.warmup, case.repeats)
        for one in objectives
    )
    found = next((reason for reason in reasons if reason), None)
    return f"{case.id}: {found}" if found else None
