"""How a running load is watched for ``--llmd-abort-doomed``: by which of its objectives, and by whose word."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from pytest_llmdbench.doom_watch import DoomWatch, by_requests, by_servers, servers_tell
from pytest_llmdbench.harnesses.live import Live
from pytest_llmdbench.watched import unwatched_s, watchable

if TYPE_CHECKING:
    from pytest_llmdbench.case import Case
    from pytest_llmdbench.declared.objective import Objective
    from pytest_llmdbench.harnesses.launcher import GiveUp
    from pytest_llmdbench.send import Load

#: Seconds between two readings of the servers' metrics where a load is watched by them, at most.
SCRAPE_S: Final = 2.0


class Told(Protocol):
    """Who knows the stacks."""

    def so_far(self, key: str) -> Mapping[str, Any]:
        """See :meth:`~pytest_llmdbench.stacks.pool.StackPool.so_far`."""

    def say(self, line: str) -> None:
        """Show a line to people."""


def doom_of(case: Case, objectives: tuple[Objective, ...], profile: Mapping[str, Any]) -> DoomWatch | None:
    """What gathers the evidence over all runs of a load; None where no objective can be watched."""
    stages = len(case.load.harness.stages(profile))
    chosen = watchable(objectives, stages, case.load.workload.warmup)
    return DoomWatch(chosen) if chosen else None


def give_up(case: Case, load: Load, doom: DoomWatch, told: Told) -> GiveUp | None:
    """What a launcher asks whether to give the load up: by its requests as they finish, or by the servers' counts.

    None, and said, where nobody tells of single requests while the load runs.
    """
    harness, scenario = load.harness, case.stack.scenario
    left_out = unwatched_s(case.load.workload.warmup, harness.expected_seconds(load.profile))
    if load.here and isinstance(harness, Live):
        return doom.over(by_requests(doom.objectives, harness.follow(load.folder), left_out))
    # What an existing endpoint counts is of others as well.
    if scenario.load.scrape_s and scenario.deploy != "endpoint" and any(map(servers_tell, doom.objectives)):
        so_far = partial(told.so_far, case.stack.spec.key)
        return doom.over(by_servers(doom.objectives, so_far, harness.watch(load.folder), left_out))
    told.say(f"{load.name}: nothing tells of single requests while it runs; it cannot be given up early")
    return None
