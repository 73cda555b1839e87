"""Which cases each test is, in which order they come, and which of them cannot be: pytest's collection."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_llmdbench.bench import Bench, bench_of
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.refused import Refused
from pytest_llmdbench.using import start_using

if TYPE_CHECKING:
    from pytest_llmdbench.case import Case
    from pytest_llmdbench.reports.plan_lines import PlannedTest
_CASE: Final = "llmd_case"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make the cases of each test that asks for a result, a run or a stack."""
    if _CASE not in metafunc.fixturenames:
        return
    bench = bench_of(metafunc.config)
    if not bench.asked_for and not bench.is_worker:
        start_using(metafunc.config)
    try:
        cases = _cases(bench, metafunc)
    except DeclarationError as error:
        raise pytest.Collector.CollectError(str(error)) from error
    if not cases:
        asked = ", ".join([*bench.settings.get("harness", ()), *bench.settings.get("workload", ())])
        absent = pytest.mark.skip(reason=f"{asked}: no workload for this benchmark")
        metafunc.parametrize(_CASE, [pytest.param(None, marks=absent)], indirect=True, ids=["no-workload"])
        return
    metafunc.parametrize(_CASE, cases, indirect=True, ids=[case.id for case in cases])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell each item its stack, and put the cases of one stack next to each other, after the tests that need none."""
    from pytest_llmdbench.stacks.source import STACK_KEY

    for item in items:
        case = case_of(item)
        if case is not None:
            item.stash[STACK_KEY] = case.stack.spec
    _put_together(items, [None])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> Generator[None]:
    """Now that it is known what was selected, and in which order: refuse what cannot be, or proves nothing."""
    # Others have an order of their own (--ff), in which stacks would stand side by side, waiting for their next case.
    _put_together(session.items, [])
    bench = bench_of(session.config)
    refused = "\n".join(dict.fromkeys(reason for item in session.items if (reason := _refusal(bench, item))))
    if refused and bench.is_worker:
        # Before the controller is told that all is collected, for then it would begin.
        report: Any = pytest.CollectReport(session.nodeid, "failed", refused, [])
        report.llmd_refused = refused
        session.config.hook.pytest_collectreport(report=report)
    yield
    if refused and not bench.is_worker:
        raise pytest.UsageError(refused)


class RefusedByWorkers:
    """Registered on the controller: what is refused where tests are collected is refused here, before any is run."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Raises UsageError."""
        refused = getattr(report, "llmd_refused", None)
        if refused:
            raise pytest.UsageError(refused)


def case_of(item: pytest.Item) -> Case | None:
    """The case of a collected test; None for a test that is none, or for which there is none."""
    wanted = _wanted(item)
    return None if isinstance(wanted, Refused) else wanted


def planned_test(bench: Bench, item: pytest.Item) -> PlannedTest | None:
    """What a selected test will do; None for one that is no benchmark. Raises DeclarationError."""
    from pytest_llmdbench.planned_search import marked_range
    from pytest_llmdbench.reports.plan_lines import PlannedTest

    case = case_of(item)
    if case is None:
        return None
    return PlannedTest(
        item.nodeid,
        case,
        bench.objectives(case, item) if _uses(item, "llmd_run") else None,
        marked_range(item) if _uses(item, "llmd_max_rate") else None,
    )


def _uses(item: pytest.Item, fixture: str) -> bool:
    """Whether a test has a fixture, for itself or for one of its own."""
    return fixture in getattr(item, "fixturenames", ())


def _wanted(item: pytest.Item) -> Case | Refused | None:
    callspec = getattr(item, "callspec", None)
    wanted: Case | Refused | None = callspec.params.get(_CASE) if callspec else None
    return wanted


def _cases(bench: Bench, metafunc: pytest.Metafunc) -> list[Case | Refused]:
    """The cases of a test, as far as they can be. Raises DeclarationError for a marker that cannot be meant."""
    from pytest_llmdbench.planned_slo import check_stages

    if not bench.asked_for and bench.is_worker:
        return [Refused("no-scenario", "to run benchmarks with pytest-xdist, name the scenario: --scenario=local")]
    if bench.refusal:
        return [Refused("refused", bench.refusal)]
    test = metafunc.definition
    objectives, cases = bench.marked(test), bench.cases(test)
    others = any(bench.settings.get(word) for word in ("workload", "harness"))
    if "llmd_max_rate" in metafunc.fixturenames:
        from pytest_llmdbench.planned_search import searched

        cases = searched(cases, test, named=others)
    if objectives and not others:
        for case in cases:
            if not isinstance(case, Refused):
                check_stages(objectives, case)
    return cases


def _put_together(items: list[pytest.Item], first: Iterable[str | None]) -> None:
    """Put the cases of each stack next to each other, where there are several.

    Stacks, and all tests that need none (None), come in the order of their first tests, but for those that are
    ``first``.
    """
    order = {key: number for number, key in enumerate(first)}
    for item in items:
        order.setdefault(_stack_key(item), len(order))
    if len(order.keys() - {None}) > 1:
        items.sort(key=lambda item: order[_stack_key(item)])


def _stack_key(item: pytest.Item) -> str | None:
    case = case_of(item)
    return case.stack.spec.key if case is not None else None


def _refusal(bench: Bench, item: pytest.Item) -> str | None:
    """Why a selected test cannot be run, or could prove nothing."""
    wanted = _wanted(item)
    if isinstance(wanted, Refused):
        return wanted.reason
    if wanted is None or not _uses(item, "llmd_slo"):
        return None
    from pytest_llmdbench.planned_slo import unprovable

    try:
        objectives = bench.objectives(wanted, item)
    except DeclarationError as error:
        return str(error)
    return unprovable(wanted, objectives) if _uses(item, "llmd_run") else None
