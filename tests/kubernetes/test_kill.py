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
GRACE_S = 60
#: About how long one whole run takes here, in seconds.
RUN_S = 25.0

#: A line of the session -> what it is doing when that line appears.
MOMENTS = {
    "standup": "hangs on job/",
    "load": "test_chatbot",
    "load under way": "inference-perf: stage 1",
    "teardown": "passed",
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
        session.saw_it()
    time.sleep(after_s)
    session.process.send_signal(signal.SIGKILL)
    _, said = session.ended(10)
    return time.monotonic() - began, said


@pytest.mark.cluster
@pytest.mark.parametrize("moment", ["standup", "load under way", "teardown"])
def test_a_session_that_is_killed_leaves_nothing_behind(project: Project, cluster: Cluster, moment: str) -> None:
    when, said = kill_at(project, MOMENTS[moment], random.uniform(0, 2))
    took, left = gone_after(cluster, LEASE_S + GRACE_S)
    print(f"killed {when:.1f} s after its start ({moment}); all was gone {took:.1f} s later\n{said}")
    assert left == []


@pytest.fixture(scope="session")
def figures() -> Iterator[list[float]]:
    """Seconds until all was gone, of every kill; shown at the end."""
    kills: list[float] = []
    yield kills
    if kills:
        longest = max(kills)
        print(
            f"\n{len(kills)} kills at random moments: 0 leaks; gone after at most {longest:.1f} s (lease {LEASE_S} s)"
        )


@pytest.mark.cluster
@pytest.mark.soak
@pytest.mark.parametrize("number", range(20))
def test_twenty_sessions_killed_at_random_moments_leave_nothing(
    project: Project, cluster: Cluster, figures: list[float], number: int
) -> None:
    when, _ = kill_at(project, None, random.uniform(0.5, RUN_S))
    took, left = gone_after(cluster, LEASE_S + GRACE_S)
    print(f"\nkill {number + 1}: {when:.1f} s after the start; all was gone {took:.1f} s later")
    assert left == []
    figures.append(took)


def test_every_kind_that_is_looked_for_is_written_once() -> None:
    assert len(set(KINDS)) == len(KINDS)
