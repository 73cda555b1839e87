"""The pytest plugin: options, parametrization, reports. Imports nothing heavy until a benchmark is there."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import pytest

from pytest_llmdbench.bench import Bench, bench_of
from pytest_llmdbench.errors import DeclarationError, LlmdError
from pytest_llmdbench.fixtures import (
    RECORD,
    SLO,
    llmd_case,
    llmd_max_rate,
    llmd_run,
    llmd_slo,
    llmd_stack,
    max_rate,
    result,
    run,
    slo,
    stack,
)
from pytest_llmdbench.options import add_options

__all__ = [
    "llmd_case",
    "llmd_max_rate",
    "llmd_run",
    "llmd_slo",
    "llmd_stack",
    "max_rate",
    "result",
    "run",
    "slo",
    "stack",
]  # fixtures, which pytest finds here

_CASE = "llmd_case"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Offer our hooks to other plugins."""
    from pytest_llmdbench import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer what needs no tests: ``--llmd-explain``, ``--llmd-teardown-only``, ``--llmd-cleanup``."""
    bench = _checked(bench_of, config)
    if bench.settings.get("explain"):
        from pytest_llmdbench.reports.explain import explain

        print(_checked(lambda: explain(bench.plan)))
        return pytest.ExitCode.OK
    if bench.settings.get("compare"):
        from pytest_llmdbench.without_tests import compared

        lines, worse = _checked(compared, bench)
        print("\n".join(lines))
        return pytest.ExitCode.TESTS_FAILED if worse else pytest.ExitCode.OK
    step_asked = bench.settings.get("teardown_only") or bench.settings.get("cleanup")
    if step_asked and not bench.settings.get("dry_run"):
        from pytest_llmdbench.without_tests import cleanup, teardown

        step = teardown if bench.settings.get("teardown_only") else cleanup
        _checked(_print_all, step(bench))
        return pytest.ExitCode.OK
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check what can be checked before anything starts, and say who owns the stacks."""
    config.addinivalue_line("markers", "workload(*names, harness=None): the loads that this benchmark sends")
    config.addinivalue_line(
        "markers",
        "max_rate(low, high, tolerance='5%', at_least=None, seconds=None): where to look for the highest rate",
    )
    config.addinivalue_line("markers", "slo(*objectives): what is good enough, as in 'ttft.p99 <= 500ms'")
    bench = _checked(bench_of, config)
    if bench.without_load:
        # The plan is made by one process; workers would each print it.
        config.option.dist, config.option.tx, config.option.numprocesses = "no", [], None
        # Nothing ran, so nothing is reported: an empty report must not replace that of a run.
        config.option.htmlpath = config.option.xmlpath = None
    if bench.settings.get("from_results"):
        from pytest_llmdbench.replay import start_replay

        config.option.dist, config.option.tx, config.option.numprocesses = "no", [], None
        _checked(start_replay, config, bench)
    if bench.asked_for:
        if not bench.is_worker:
            _check(bench)
        _start_using(config)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """``-n auto`` starts a worker for each stack that may be up at once."""
    bench = _checked(bench_of, config)
    if not bench.asked_for:
        return None
    _check(bench)
    try:
        stacks = len(bench.plan.stacks)
    except LlmdError:  # from the environment: it comes up with the first benchmark, if there is one
        return None
    allowed: int = bench.settings.get("max_stacks", stacks)
    return min(stacks, allowed)


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
        _start_using(metafunc.config)
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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Tell each item its stack, put the cases of one stack next to each other, and refuse loads that prove nothing."""
    from pytest_llmdbench.stacks.ownership import STACK_KEY

    order: dict[str, int] = {}
    for item in items:
        case = _case_of(item)
        if case is not None:
            item.stash[STACK_KEY] = case.stack.spec
            order.setdefault(case.stack.spec.key, len(order))
    if len(order) > 1:
        items.sort(key=lambda item: order[item.stash[STACK_KEY].key] if STACK_KEY in item.stash else -1)
    yield
    # Only now is it known which tests were selected; a worker cannot refuse, its tests do so themselves.
    if order and not bench_of(config).is_worker:
        unprovable = [reason for item in items if (reason := _unprovable(bench_of(config), item))]
        if unprovable:
            raise pytest.UsageError("\n".join(dict.fromkeys(unprovable)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Under an option that sends no load: print the plan, render, or stand up, in place of running the tests."""
    bench = bench_of(session.config)
    if not bench.without_load or session.testsfailed:
        return None
    from pytest_llmdbench.without_tests import shown, stood_up

    terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    write = terminal.write_line if terminal else print
    cases = [(case, bench.objectives(case, item)) for item in session.items if (case := _case_of(item)) is not None]
    only_look = bench.settings.get("dry_run") or bench.settings.get("render_to")
    step = shown if only_look else stood_up
    try:
        for line in step(bench, cases):
            write(line)
    except LlmdError as error:
        session.shouldfail = str(error)
        raise session.Failed(session.shouldfail) from error
    return True


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judge what the test did not judge itself: no load passes unseen. Then compare all its runs with a baseline."""
    if SLO not in pyfuncitem.stash:
        return (yield)
    from pytest_llmdbench.baselines import after_the_test
    from pytest_llmdbench.verdicts.verdict import NotPassed

    slo, missed = pyfuncitem.stash[SLO], None
    outcome = None
    try:
        outcome = yield
        slo.verify_rest()
    except NotPassed as error:
        missed = error
    worse = after_the_test(bench_of(pyfuncitem.config), pyfuncitem.stash[RECORD], slo.judged)
    # What is not known may be allowed; what is known to be worse is not.
    if worse and (missed is None or missed.verdict.outcome == "INCONCLUSIVE"):
        raise worse
    if missed:
        raise missed
    return outcome


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the case's record on its report, and show our own errors as the sentences that they are."""
    report = yield
    kept = item.stash.get(RECORD, None)
    if kept is None or (call.when != "call" and not report.failed):
        return report
    from pytest_llmdbench.results.record import properties
    from pytest_llmdbench.verdicts.regression import Regressed
    from pytest_llmdbench.verdicts.verdict import NotPassed

    error = call.excinfo.value if call.excinfo else None
    record = dict(kept)
    if isinstance(error, NotPassed | Regressed | LlmdError):
        report.longrepr = str(error)
    if isinstance(error, NotPassed) and error.verdict.outcome in bench_of(item.config).allowed:
        # Neither failed nor passed: what pytest has for that is called skipped, and carries place and reason.
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, f"{error.verdict.outcome}: {error.verdict.reason}")
    if report.failed and not isinstance(error, NotPassed | Regressed):
        # Whatever was measured before, the case did not get to a verdict.
        record["verdict"] = None
        record["error"] = str(error)
        diagnostics = bench_of(item.config).diagnostics(record["stack"]) if record.get("stack") else None
        if diagnostics is not None and diagnostics.is_dir():
            record["diagnostics"] = str(diagnostics)
    report.llmd = record  # type: ignore[attr-defined]
    # JUnit takes an item's properties from the report of its teardown, other readers from that of its call.
    others = [one for one in item.user_properties if not one[0].startswith("llmd.")]
    item.user_properties[:] = [*others, *properties(record)]
    report.user_properties = list(item.user_properties)
    if page := getattr(item.config.option, "htmlpath", None):
        from pytest_llmdbench.reports.html_case import details, page_path

        report.extras = [*getattr(report, "extras", []), details(record, page_path(page))]  # type: ignore[attr-defined]
    return report


def pytest_report_teststatus(report: pytest.TestReport | pytest.CollectReport) -> Any:
    """INVALID and INCONCLUSIVE have letters and words of their own; unless they are allowed they fail all the same."""
    verdict = (getattr(report, "llmd", None) or {}).get("verdict")
    if not verdict or report.passed or verdict["outcome"] not in ("INVALID", "INCONCLUSIVE"):
        return None
    letter = "V" if verdict["outcome"] == "INVALID" else "N"
    word = (verdict["outcome"], {"yellow": True, "bold": True})
    return ("failed", letter, word) if report.failed else (verdict["outcome"].lower(), letter.lower(), word)


def _start_using(config: pytest.Config) -> None:
    """Bring in what only sessions with benchmarks need."""
    from pytest_llmdbench.reports.collector import RecordCollector
    from pytest_llmdbench.stacks import ownership

    bench = bench_of(config)
    ownership.configure(config, bench.deployments, bench.settings.get("max_stacks"))
    if not bench.is_worker:
        config.pluginmanager.register(RecordCollector(bench), "llmdbench-records")
        if bench.watches_runs and not bench.without_load:
            from pytest_llmdbench.baselines import BaselineKeeper

            config.pluginmanager.register(BaselineKeeper(bench), "llmdbench-baseline")


def _check(bench: Bench) -> None:
    """A usage error for what cannot be meant, unless it comes from the environment alone.

    Variables may be there for another project; what is wrong in them comes up when the first benchmark is collected.
    """
    try:
        bench.check()
    except LlmdError as error:
        if bench.settings.explicit:
            raise pytest.UsageError(str(error)) from error


def _case_of(item: pytest.Item) -> Any:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(_CASE) if callspec else None


def _unprovable(bench: Bench, item: pytest.Item) -> str | None:
    case = _case_of(item)
    return bench.plan.unprovable(case, bench.objectives(case, item)) if case is not None else None


def _print_all(lines: Iterable[str]) -> None:
    """Print lines as they come; whatever goes wrong on the way is raised here."""
    for line in lines:
        print(line, flush=True)


def _checked(action: Any, *arguments: Any) -> Any:
    """What a user got wrong is a usage error: one line, no traceback, exit status 4."""
    try:
        return action(*arguments)
    except LlmdError as error:
        raise pytest.UsageError(str(error)) from error
