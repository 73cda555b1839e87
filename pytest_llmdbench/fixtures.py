"""What benchmark files use: ``stack``, ``run``, ``result`` and ``slo``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdbench.bench import bench_of

if TYPE_CHECKING:
    from pytest_llmdbench.declared.objective import Objective
    from pytest_llmdbench.plan import Case
    from pytest_llmdbench.results.result import Result
    from pytest_llmdbench.runner import Runner
    from pytest_llmdbench.stacks.spec import Endpoint
    from pytest_llmdbench.verdicts.verdict import Verdict


@dataclass(frozen=True)
class BorrowedStack:
    """The running stack of a case; nobody else sends load to it meanwhile.

    ``url`` is the base without ``/v1``; ``model`` the served name.
    """

    key: str
    endpoint: Endpoint

    @property
    def url(self) -> str:
        """Where the stack answers, without ``/v1``."""
        return self.endpoint.url

    @property
    def model(self) -> str:
        """The name that requests carry."""
        return self.endpoint.model


class Slo:
    """The objectives of a case, nearest declarations first."""

    def __init__(self, case: Case, objectives: tuple[Objective, ...], record: dict[str, Any]) -> None:
        self.objectives = objectives
        self._case = case
        self._record = record
        self._pending: list[tuple[Result, Path]] = []

    def expect(self, result: Result, folder: Path) -> None:
        """Remember a result that has to be judged before the test is over."""
        self._pending.append((result, folder))

    def judge(self, result: Result) -> Verdict:
        """The verdict on a result, without asserting it; kept in the record and beside the result."""
        from pytest_llmdbench.results.store import write_json
        from pytest_llmdbench.verdicts.verdict import judge

        verdict = judge(result, self.objectives, self._case.stack.scenario.sanity.max_error_rate)
        rank = ("PASS", "INVALID", "FAIL")
        earlier = self._record.get("verdict")
        if earlier is None or rank.index(verdict.outcome) >= rank.index(earlier["outcome"]):
            self._record["verdict"] = verdict.to_json()
        for pending, folder in self._pending:
            if pending is result:
                write_json(folder / "verdict.json", verdict.to_json())
        self._pending = [pending for pending in self._pending if pending[0] is not result]
        return verdict

    def verify(self, result: Result) -> None:
        """Assert that a result is sound and meets every objective.

        Raises:
            SLOMissed: an objective was missed, or nothing was measured; the text lists all, with value and bound.
            RunInvalid: the measurement is not sound.
        """
        from pytest_llmdbench.verdicts.verdict import assert_verdict

        assert_verdict(self.judge(result))

    def verify_rest(self) -> None:
        """Verify every result that the test did not judge itself: a load that ran is never passed unseen."""
        for result, _ in list(self._pending):
            self.verify(result)


#: What a test's report will carry; there from the moment that a case is set up.
RECORD: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
SLO: pytest.StashKey[Slo] = pytest.StashKey()


@pytest.fixture
def llmd_case(request: pytest.FixtureRequest) -> Case:
    """The case of this test: its stack, its load. Parametrized by --scenario, --treatments and the workload marker."""
    from pytest_llmdbench.reports.record import case_facts

    case: Case = request.param
    request.node.stash[RECORD] = case_facts(case)
    return case


@pytest.fixture
def slo(request: pytest.FixtureRequest, llmd_case: Case) -> Slo:
    """The objectives of this case. ``slo.verify(result)`` asserts them all at once."""
    made = Slo(llmd_case, bench_of(request.config).objectives(llmd_case, request.node), request.node.stash[RECORD])
    request.node.stash[SLO] = made
    return made


@pytest.fixture
def stack(request: pytest.FixtureRequest, llmd_case: Case) -> Iterator[BorrowedStack]:
    """The running stack of this case, stood up when the first case needs it; borrowed for this test alone."""
    from pytest_llmdbench.stacks.ownership import stacks_of

    source = stacks_of(request.config)
    endpoint = source.acquire(llmd_case.stack.spec)
    try:
        yield BorrowedStack(llmd_case.stack.spec.key, endpoint)
    finally:
        source.release(llmd_case.stack.spec.key)


@pytest.fixture
def run(request: pytest.FixtureRequest, llmd_case: Case, slo: Slo, stack: BorrowedStack) -> Runner:
    """Runs the load of this case against its stack: ``result = run()``; ``run(rate=5)`` overrides the load."""
    from pytest_llmdbench.runner import Runner

    return Runner(request.node, bench_of(request.config), llmd_case, slo, stack.endpoint, request.node.stash[RECORD])


@pytest.fixture
def result(run: Runner) -> Result:
    """What one run of the load measured; the run is over when the test begins."""
    return run()
