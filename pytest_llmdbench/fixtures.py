"""What benchmark files use: ``stack``, ``run``, ``result``, ``slo`` and ``max_rate``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdbench.bench import bench_of
from pytest_llmdbench.errors import DeclarationError

if TYPE_CHECKING:
    from pytest_llmdbench.case import Case
    from pytest_llmdbench.declared.objective import Objective
    from pytest_llmdbench.max_rate import MaxRate
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
        self._runs: list[tuple[Result, Path]] = []
        self._pending: list[Result] = []
        self._judged: list[tuple[Result, Path, str]] = []

    def expect(self, result: Result, folder: Path) -> None:
        """Remember a result that has to be judged before the test is over."""
        self._runs.append((result, folder))
        self._pending.append(result)

    def preview(self, result: Result) -> Verdict:
        """What the verdict on a result would be; nothing is kept of it."""
        from pytest_llmdbench.verdicts.verdict import judge

        case = self._case
        max_error_rate, warmup = case.stack.scenario.sanity.max_error_rate, case.load.workload.warmup
        return judge(result, self.objectives, max_error_rate, warmup, case.repeats.confidence)

    def judge(self, result: Result) -> Verdict:
        """The verdict on a result, without asserting it: whether the test passes is then the test's own matter.

        It is kept beside the result; the reports show the worst of a case.
        """
        from pytest_llmdbench.results.benchmark_report import write as write_reports
        from pytest_llmdbench.results.record import result_facts
        from pytest_llmdbench.results.store import write_json
        from pytest_llmdbench.verdicts.verdict import RANK

        verdict = self.preview(result)
        earlier = self._record.get("verdict")
        worst = earlier is None or RANK[verdict.outcome] >= RANK[earlier["outcome"]]
        for judged, folder in self._runs:
            if judged is result:
                self._judged.append((result, folder, verdict.outcome))
                write_json(folder / "verdict.json", verdict.to_json())
                write_reports(folder)
                if worst:
                    self._record["folder"] = str(folder)
        if worst:
            self._record |= {"result": result_facts(result), "verdict": verdict.to_json()}
        self._pending = [pending for pending in self._pending if pending is not result]
        return verdict

    def verify(self, result: Result) -> None:
        """Assert that a result is sound and meets every objective.

        Raises:
            SLOMissed: an objective was missed, or nothing was measured; the text lists all, with value and bound.
            RunInvalid: the measurement is not sound.
            Inconclusive: the load was too short to tell.
        """
        from pytest_llmdbench.verdicts.verdict import assert_verdict

        assert_verdict(self.judge(result))

    def verify_rest(self) -> None:
        """Verify every result that the test did not judge itself: a load that ran is never passed unseen."""
        for result in list(self._pending):
            self.verify(result)

    @property
    def judged(self) -> list[tuple[Result, Path, str]]:
        """Every result that was judged, once, with its folder and the outcome of its last verdict."""
        return list({folder: (result, folder, outcome) for result, folder, outcome in self._judged}.values())


#: What a test's report will carry; there from the moment that a case is set up.
RECORD: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
SLO: pytest.StashKey[Slo] = pytest.StashKey()


@pytest.fixture
def llmd_case(request: pytest.FixtureRequest) -> Case:
    """The case of this test: its stack, its load. Parametrized by --scenario, --treatments and the workload marker."""
    from pytest_llmdbench.results.record import case_facts

    case: Case = request.param
    request.node.stash[RECORD] = case_facts(case)
    return case


@pytest.fixture
def llmd_slo(request: pytest.FixtureRequest, llmd_case: Case) -> Slo:
    """What ``slo`` gives; the plugin's own fixtures use it, so that a project may call something of its own ``slo``."""
    objectives = bench_of(request.config).objectives(llmd_case, request.node)
    made = Slo(llmd_case, objectives, request.node.stash[RECORD])
    request.node.stash[SLO] = made
    return made


@pytest.fixture
def llmd_stack(request: pytest.FixtureRequest, llmd_case: Case) -> Iterator[BorrowedStack]:
    """What ``stack`` gives."""
    from pytest_llmdbench.stacks.ownership import stacks_of

    source = stacks_of(request.config)
    if not llmd_case.stack.scenario.load_in_cluster:
        # Before anything is held: an installation takes its time, and may fail. An image has all installed.
        llmd_case.load.harness.prepare(source.say)
    endpoint = source.acquire(llmd_case.stack.spec)
    try:
        yield BorrowedStack(llmd_case.stack.spec.key, endpoint)
    finally:
        source.release(llmd_case.stack.spec.key)


@pytest.fixture
def llmd_run(request: pytest.FixtureRequest, llmd_case: Case, llmd_slo: Slo, llmd_stack: BorrowedStack) -> Runner:
    """What ``run`` gives."""
    from pytest_llmdbench.planned_slo import unprovable
    from pytest_llmdbench.runner import Runner

    # A test that asks for it only as it runs could not be refused before.
    if reason := unprovable(llmd_case, llmd_slo.objectives):
        raise DeclarationError(reason)
    bench, record = bench_of(request.config), request.node.stash[RECORD]
    return Runner(request.node, bench, llmd_case, llmd_slo, llmd_stack.endpoint, record)


@pytest.fixture
def llmd_max_rate(request: pytest.FixtureRequest, llmd_case: Case, llmd_slo: Slo, llmd_run: Runner) -> MaxRate:
    """What ``max_rate`` gives."""
    from pytest_llmdbench.max_rate import MaxRate
    from pytest_llmdbench.planned_search import marked_range
    from pytest_llmdbench.stacks.ownership import stacks_of

    record, say = request.node.stash[RECORD], stacks_of(request.config).say
    return MaxRate(llmd_case, llmd_run, llmd_slo.objectives, record, marked_range(request.node), say)


@pytest.fixture
def slo(llmd_slo: Slo) -> Slo:
    """The objectives of this case. ``slo.verify(result)`` asserts them all at once."""
    return llmd_slo


@pytest.fixture
def stack(llmd_stack: BorrowedStack) -> BorrowedStack:
    """The running stack of this case, stood up when the first case needs it; borrowed for this test alone."""
    return llmd_stack


@pytest.fixture
def run(llmd_run: Runner) -> Runner:
    """Runs the load of this case against its stack: ``result = run()``; ``run(rate=5)`` overrides the load."""
    return llmd_run


@pytest.fixture
def result(llmd_run: Runner) -> Result:
    """What one run of the load measured; the run is over when the test begins."""
    return llmd_run()


@pytest.fixture
def max_rate(llmd_max_rate: MaxRate) -> MaxRate:
    """Finds the highest rate at which the load of this case meets its SLO: ``found = max_rate(low=1, high=50)``."""
    return llmd_max_rate
