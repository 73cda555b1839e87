"""The pytest plugin: options, what is checked before anything starts, what is done in place of running tests.

The hooks that make cases are in :mod:`.collecting`, those that report them in :mod:`.reporting`. Imports nothing heavy
until a benchmark is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_llmdbench.bench import Bench, bench_of
from pytest_llmdbench.collecting import (
    RefusedByWorkers,
    planned_test,
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_generate_tests,
)
from pytest_llmdbench.errors import LlmdError
from pytest_llmdbench.fixtures import (
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
from pytest_llmdbench.reporting import pytest_pyfunc_call, pytest_report_teststatus, pytest_runtest_makereport
from pytest_llmdbench.using import start_using

__all__ = [
    "llmd_case",
    "llmd_max_rate",
    "llmd_run",
    "llmd_slo",
    "llmd_stack",
    "max_rate",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_generate_tests",
    "pytest_pyfunc_call",
    "pytest_report_teststatus",
    "pytest_runtest_makereport",
    "result",
    "run",
    "slo",
    "stack",
]  # fixtures and hooks, which pytest finds here


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
    if getattr(config.option, "dist", "no") != "no" and not bench.is_worker:
        config.pluginmanager.register(RefusedByWorkers())
    if bench.asked_for:
        if not bench.is_worker:
            _check(bench)
        start_using(config)


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


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Under an option that sends no load: print the plan, render, or stand up, in place of running the tests."""
    bench = bench_of(session.config)
    if not bench.without_load or session.testsfailed:
        return None
    from pytest_llmdbench.without_tests import shown, stood_up

    terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    write = terminal.write_line if terminal else print
    tests = [planned for item in session.items if (planned := planned_test(bench, item))]
    only_look = bench.settings.get("dry_run") or bench.settings.get("render_to")
    step = shown if only_look else stood_up
    try:
        for line in step(bench, tests):
            write(line)
    except LlmdError as error:
        session.shouldfail = str(error)
        raise session.Failed(session.shouldfail) from error
    return True


def _check(bench: Bench) -> None:
    """A usage error for what cannot be meant, unless it comes from the environment alone.

    Variables may be there for another project; what is wrong in them comes up when a benchmark is selected.
    """
    if bench.refusal and bench.settings.explicit:
        raise pytest.UsageError(bench.refusal)


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
