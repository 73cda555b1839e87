"""What pytest is told of a case: judged once it ran, its record on its report, its verdict's own letter and word."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_llmdbench.bench import bench_of
from pytest_llmdbench.errors import LlmdError
from pytest_llmdbench.fixtures import RECORD, SLO


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
        record["error"] = _said(error)
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


def _said(error: BaseException | None) -> str:
    """What reports say of an error: of one that is not ours also its kind, for its text alone may be a mere name."""
    if error is None or isinstance(error, LlmdError | pytest.fail.Exception):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def pytest_report_teststatus(report: pytest.TestReport | pytest.CollectReport) -> Any:
    """INVALID and INCONCLUSIVE have letters and words of their own; unless they are allowed they fail all the same."""
    verdict = (getattr(report, "llmd", None) or {}).get("verdict")
    if not verdict or report.passed or verdict["outcome"] not in ("INVALID", "INCONCLUSIVE"):
        return None
    letter = "V" if verdict["outcome"] == "INVALID" else "N"
    word = (verdict["outcome"], {"yellow": True, "bold": True})
    return ("failed", letter, word) if report.failed else (verdict["outcome"].lower(), letter.lower(), word)
