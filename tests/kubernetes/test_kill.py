"""kill -9 at any moment of a run, and nothing of it stays in the cluster; there is nobody left to take it down."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator

import pytest

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.kept import KINDS, still_there
from pytest_llmdbench.stacks.kubernetes.names import OURS
from tests.kubernetes.project import Project, Started

#: Of the scenario that is killed, in seconds.
LEASE_S = 8
#: What Kubernetes' own controllers get to delete what has no owner any more, in seconds.
GRACE_S = 120
#: About how long one whole run takes here, in seconds.
RUN_S = 25.0

#: Moment -> a line of the session, and how long after it, in seconds.
MOMENTS = {
    "standup": ("hangs on job/", (0.0, 2.0)),
    "load": ("stack sim: up after", (2.0, 5.0)),
    # The load lasts five seconds, and this is said after five; then its results are taken.
    "collection": ("priority-mix: starting", (0.0, 3.0)),
    # The last case is over, and so its stack is not wanted any more.
    "teardown": ("PASSED", (0.0, 1.0)),
}


def gone_after(cluster: Cluster, seconds: float) -> tuple[float, list[str]]:
    """Seconds until nothing of any run is left, and what is left at the end."""
    began = time.monotonic()
    while True:
        left = still_there(cluster, OURS)
        took = time.monotonic() - began
        if not left or took > seconds:
            return took, left
        time.sleep(0.5)


def kill_at(project: Project, line: str | None, after_s: float) -> tuple[float, str]:
    """Start a session, kill it so long after a line of its output (or its start); when, and what it had said."""
    began = time.monotonic()
    session = Started(project.start("--scenario=sim", "-v"), line)
    if line:
        assert session.saw_it(), session.ended()
    time.sleep(after_s)
    session.process.send_signal(signal.SIGKILL)
    _, said = session.ended(10)
    return time.monotonic() - began, said


@pytest.mark.cluster
@pytest.mark.parametrize(
    "moment",
    ["standup", "load", *(pytest.param(one, marks=pytest.mark.thorough) for one in ("collection", "teardown"))],
)
def test_a_session_that_is_killed_leaves_nothing_behind(project: Project, cluster: Cluster, moment: str) -> None:
    line, (soonest, latest) = MOMENTS[moment]
    when, said = kill_at(project, line, random.uniform(soonest, latest))
    took, left = gone_after(cluster, LEASE_S + GRACE_S)
    print(f"killed {when:.1f} s after its start ({moment}); all was gone {took:.1f} s later\n{said}")
    assert left == []


@pytest.fixture(scope="module")
def kills() -> Iterator[list[tuple[float, list[str]]]]:
    """Of every kill: seconds until all was gone, and what was left; the figure is shown at the end."""
    kills: list[tuple[float, list[str]]] = []
    yield kills
    if kills:
        leaks, longest = sum(bool(left) for _, left in kills), max(took for took, _ in kills)
        print(f"\n{len(kills)} kills at random moments: {leaks} leaks; the last was gone after {longest:.1f} s")
        print(f"(the lease is good for {LEASE_S} s)")


@pytest.mark.cluster
@pytest.mark.soak
@pytest.mark.parametrize("number", range(20))
def test_twenty_sessions_killed_at_random_moments_leave_nothing(
    project: Project, cluster: Cluster, kills: list[tuple[float, list[str]]], number: int
) -> None:
    when, _ = kill_at(project, None, random.uniform(0.5, RUN_S))
    took, left = gone_after(cluster, LEASE_S + GRACE_S)
    kills.append((took, left))
    print(f"\nkill {number + 1}: {when:.1f} s after the start; all was gone {took:.1f} s later")
    assert left == []


def test_every_kind_that_is_looked_for_is_written_once() -> None:
    assert len(set(KINDS)) == len(KINDS)
