"""Which cases each test is, in which order they come, and which of them could prove nothing: pytest's collection."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Final

import pytest

from pytest_llmdbench.bench import Bench, bench_of
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.using import start_using

if TYPE_CHECKING:
    from pytest_llmdbench.case import Case

_CASE: Final = "llmd_case"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make the cases of each test that asks for a result, a run or a stack."""
    if _CASE not in metafunc.fixturenames:
        return
    bench = bench_of(metafunc.config)
    if not bench.asked_for:
        if bench.is_worker:
            raise pytest.Collector.CollectError(
                "to run benchmarks with pytest-xdist, name the scenario: --scenario=local"
            )
        start_using(metafunc.config)
    try:
        cases = bench.cases(metafunc.definition, metafunc.definition.nodeid)
        if "llmd_max_rate" in metafunc.fixturenames:
            from pytest_llmdbench.planned_search import searched

            named = any(bench.settings.get(word) for word in ("workload", "harness"))
            cases = searched(cases, metafunc.definition, named=named)
        for case in cases:
            bench.objectives(case, metafunc.definition)
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
    """Now that it is known what was selected, and in which order: refuse loads that prove nothing."""
    # Others have an order of their own (--ff), in which stacks would stand side by side, waiting for their next case.
    stacks = _put_together(session.items, [])
    yield
    # A worker cannot refuse, its tests do so themselves.
    if stacks and not bench_of(session.config).is_worker:
        reasons = [reason for item in session.items if (reason := _unprovable(bench_of(session.config), item))]
        if reasons:
            raise pytest.UsageError("\n".join(dict.fromkeys(reasons)))


def case_of(item: pytest.Item) -> Case | None:
    """The case of a collected test; None for a test that is none, or for which there is none."""
    callspec = getattr(item, "callspec", None)
    case: Case | None = callspec.params.get(_CASE) if callspec else None
    return case


def _put_together(items: list[pytest.Item], first: Iterable[str | None]) -> set[str]:
    """Put the cases of each stack next to each other, where there are several; gives the stacks.

    Stacks, and all tests that need none (None), come in the order of their first tests, but for those that are
    ``first``.
    """
    order = {key: number for number, key in enumerate(first)}
    for item in items:
        order.setdefault(_stack_key(item), len(order))
    stacks = {key for key in order if key is not None}
    if len(stacks) > 1:
        items.sort(key=lambda item: order[_stack_key(item)])
    return stacks


def _stack_key(item: pytest.Item) -> str | None:
    case = case_of(item)
    return case.stack.spec.key if case is not None else None


def _unprovable(bench: Bench, item: pytest.Item) -> str | None:
    from pytest_llmdbench.planned_slo import unprovable

    case = case_of(item)
    return unprovable(case, bench.objectives(case, item)) if case is not None else None
