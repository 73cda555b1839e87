"""What was under way when a session was interrupted: pytest itself says nothing of a test that it could not finish."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_llmdbench.errors import ResultsError

#: What reports show of a case, of all that is recorded of it before it runs.
FACTS: Final = (
    "case", "scenario", "stack", "setup_treatment", "harness", "harness_version", "workload", "treatment", "factors",
    "model", "price",
)  # fmt: skip
#: The word for a case whose load was under way.
INTERRUPTED: Final = "INTERRUPTED"
#: Why it has no verdict.
REASON: Final = "the session was interrupted before the load was over"


class InterruptedCases:
    """Hooks that report the cases under way at Ctrl-C or SIGTERM, as neither passed nor failed.

    ``folder`` is where the session's results are: a load that has begun has said there what it is.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._results = folder
        self._begun: dict[str, tuple[tuple[str, int | None, str], float]] = {}

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        """A test begins, here or in an xdist worker."""
        self._begun[nodeid] = location, time.time()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over."""
        self._begun.pop(nodeid, None)

    def report_interrupted(self, config: pytest.Config) -> None:
        """Report each case whose load is under way to everybody whom pytest would have told of its end."""
        for nodeid, (location, began) in list(self._begun.items()):
            if record := _recorded(self._results(), nodeid):
                for report in _reports(config, nodeid, location, began, record):
                    config.hook.pytest_runtest_logreport(report=report)

    def pytest_report_teststatus(self, report: pytest.TestReport | pytest.CollectReport) -> Any:
        """Counted apart: ``1 interrupted``."""
        if report.when == "call" and (getattr(report, "llmd", None) or {}).get("interrupted"):
            return "interrupted", "i", (INTERRUPTED, {"yellow": True, "bold": True})
        return None


def _recorded(folder: Path, nodeid: str) -> dict[str, Any] | None:
    """What the last load of a test said of itself before it began; None for a test that has sent none."""
    from pytest_llmdbench.results.case_folder import read_json
    from pytest_llmdbench.results.recorded import CASE
    from pytest_llmdbench.results.store import case_folders

    for place in reversed(case_folders(folder, nodeid)):
        try:
            facts = dict(read_json(place / CASE).data)
        except ResultsError:  # interrupted even before that was written
            continue
        if facts.get("nodeid") == nodeid:
            return {name: facts.get(name) for name in FACTS} | {"folder": str(place), "interrupted": REASON}
    return None


def _reports(
    config: pytest.Config, nodeid: str, location: tuple[str, int | None, str], began: float, record: Mapping[str, Any]
) -> list[pytest.TestReport]:
    """One of the test's call and, for readers that wait for it, one of its end."""
    now = time.time()
    file, line, _ = location
    # Neither failed nor passed: what pytest has for that is called skipped, and carries place and reason.
    told = (file, line or 0, f"{INTERRUPTED}: {REASON}")
    call = pytest.TestReport(nodeid, location, {}, "skipped", told, "call", (), now - began, began, now)
    call.llmd = record  # type: ignore[attr-defined]
    if page := getattr(config.option, "htmlpath", None):
        from pytest_llmdbench.reports.html_case import details, page_path

        call.extras = [details(record, page_path(page))]  # type: ignore[attr-defined]
    return [call, pytest.TestReport(nodeid, location, {}, "passed", None, "teardown", (), 0.0, now, now)]
