"""What a search for the highest rate will do, as far as that is known before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.declared.rate_range import check_keys, rate_range
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import Paced, PlannedStage
from pytest_llmdbench.refused import Refused
from pytest_llmdbench.verdicts.excess import limits_rate

if TYPE_CHECKING:
    import pytest

    from pytest_llmdbench.case import Case

#: How long a run lasts at least where the test does not say: in full size, and where a scenario asks for quick loads.
SECONDS: Final = 30.0
QUICK_SECONDS: Final = 10.0
#: Some length, to see what stages a load has.
_SOME_SECONDS: Final = 60.0


def at_rate(case: Case) -> Callable[[Mapping[str, Any], float, float], Mapping[str, Any]]:
    """How the case's load is told a rate. Raises DeclarationError where its load program has none."""
    harness = case.load.harness
    if not isinstance(harness, Paced):
        raise DeclarationError(f"{harness.name} sends at no rate that could be set, and a search needs one")
    return harness.at_rate


def least_seconds(case: Case, asked: float | None) -> float:
    """How long a run of a search lasts at least, in seconds, where the test ``asked`` for so many or for none."""
    return asked or (QUICK_SECONDS if case.stack.scenario.load.size == "quick" else SECONDS)


def check_objectives(objectives: Sequence[Objective], case: Case) -> None:
    """Raises DeclarationError where no objective limits the rate: any would do."""
    if not any(limits_rate(one) for one in objectives):
        raise DeclarationError(
            f"{case.id}: the highest rate under which SLO? None of the objectives can be missed by sending more: "
            "give one as in 'ttft.p99 <= 500ms'"
        )


def marked_range(node: pytest.Item | pytest.Collector | Any) -> dict[str, Any]:
    """What the markers around a test say; the nearest counts. Raises DeclarationError for an unknown word."""
    test, _, _ = node.nodeid.partition("[")
    told: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers("max_rate"))):
        if mark.args:
            raise DeclarationError(f"@max_rate of {test}: it takes names alone, as in low=1, high=50")
        check_keys(mark.kwargs, f"@max_rate of {test}")
        told |= mark.kwargs
    return told


def searched(
    cases: Sequence[Case | Refused], node: pytest.Item | pytest.Collector | Any, *, named: bool
) -> list[Case | Refused]:
    """The cases as a search runs them: each load in stages of a length that is chosen on the way.

    Where the loads were ``named`` by an option, for many benchmarks at once, those without a rate are left out.

    Raises:
        DeclarationError: a marker that cannot be meant, or a load without a rate that the benchmark itself names.
    """
    told = marked_range(node)
    test, _, _ = node.nodeid.partition("[")
    high = rate_range(told, f"@max_rate of {test}").high if {"low", "high"} <= told.keys() else None
    made: list[Case | Refused] = []
    for case in cases:
        if isinstance(case, Refused):
            made.append(case)
            continue
        try:
            paced = at_rate(case)(case.load.profile, high or 1.0, _SOME_SECONDS)
            stages = tuple(PlannedStage(rate=high) for _ in case.load.harness.stages(paced))
        except DeclarationError as error:
            if named:
                continue
            raise DeclarationError(f"{case.id}: max_rate: {error}") from error
        made.append(replace(case, load=replace(case.load, stages=stages, expected_s=None)))
    return made
