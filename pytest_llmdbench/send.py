"""Sends one load, from here or from pods in the cluster, and reads what it measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import Harness, Place, Profile
from pytest_llmdbench.harnesses.launcher import GiveUp, Launched, last_lines, launch
from pytest_llmdbench.harnesses.progress_line import Outline, together
from pytest_llmdbench.harnesses.reading import read_given_up, read_run
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.spec import Endpoint

if TYPE_CHECKING:
    from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite

#: For how long a pod is held for people at most, in seconds, whatever time limit its load would have.
HOLD_S: Final = 3600.0
#: Seconds between two looks at the stack while a load program runs on this machine.
TROUBLE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """One load to send: by which harness, what, to where, with its files in which folder.

    ``name`` is what lines about it begin with.
    """

    harness: Harness
    profile: Profile
    endpoint: Endpoint
    folder: Path
    name: str

    @property
    def here(self) -> bool:
        """Whether its program runs on this machine: one that sends nothing has no use for a pod."""
        return self.endpoint.site is None or self.harness.purpose == "startup"

    @property
    def outline(self) -> Outline:
        """What its progress is measured by."""
        harness, profile = self.harness, self.profile
        return Outline(self.name, self.endpoint.url, len(harness.stages(profile)), harness.expected_seconds(profile))


def send(
    load: Load,
    *,
    timeout_s: float,
    say: Say,
    trouble: Callable[[], str | None],
    give_up: GiveUp | None = None,
) -> Result:
    """Run the load program to its end and read its files; in the cluster where the endpoint has a site there.

    Once ``give_up`` gives a reason the program is told to end. What it leaves then is read where it can be; if not, the
    result says no more than that reason.

    Raises:
        HarnessError: it could not be started, finished in time or read; or the stack got into ``trouble`` meanwhile.
    """
    if load.here:
        folders = [load.folder]
        command = load.harness.command(load.profile, load.endpoint, Place.here(load.folder))
        watch = load.harness.watch(load.folder)
        ended = _at_trouble(trouble, give_up)
        launched = launch(command, load.outline, timeout_s=timeout_s, watch=watch, say=say, give_up=ended)
        if (happened := trouble()) is not None:
            raise HarnessError(f"{load.name}: {happened}")
    else:
        folders, launched = _in_cluster(load, load.endpoint, timeout_s, say, trouble, give_up)
    read = read_run if launched.abandoned is None else read_given_up
    try:
        measured = read(load.harness, folders, load.folder)
    except HarnessError as error:
        raise HarnessError(f"{error}\n  the last it said:\n{last_lines(folders[0])}") from error
    return replace(
        measured,
        started=launched.started,
        elapsed_s=launched.elapsed_s,
        exit_code=launched.exit_code,
        abandoned=launched.abandoned,
    )


def hold(load: Load, *, say: Say, trouble: Callable[[], str | None]) -> str:
    """Keep the pod that would send the load, for people to look around in; gives a sentence on how that ended.

    Raises:
        HarnessError: the load would run on this machine, or the pod could not start.
    """
    if load.here:
        raise HarnessError(
            f"{load.name}: --llmd-debug-pod is for loads in a cluster; this one runs on this machine, in {load.folder}"
        )
    from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
    from pytest_llmdbench.stacks.kubernetes.load import hold_in_cluster
    from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite

    site = LoadSite.from_json(load.endpoint.site or {})
    command = load.harness.command(load.profile, load.endpoint, _places(site, [load.folder])[0])
    cluster = Cluster(site.context, site.namespace, say)
    return hold_in_cluster(cluster, site, command, name=load.name, seconds=HOLD_S, say=say, trouble=trouble)


def _at_trouble(trouble: Callable[[], str | None], give_up: GiveUp | None) -> GiveUp:
    """As ``give_up``, and also once the stack is in trouble, which is asked for once a second."""
    asked_at = 0.0

    def why(elapsed: float) -> str | None:
        nonlocal asked_at
        if elapsed - asked_at >= TROUBLE_S:
            asked_at = elapsed
            if (happened := trouble()) is not None:
                return happened
        return give_up(elapsed) if give_up is not None else None

    return why


def _in_cluster(
    load: Load,
    endpoint: Endpoint,
    timeout_s: float,
    say: Say,
    trouble: Callable[[], str | None],
    give_up: GiveUp | None,
) -> tuple[list[Path], Launched]:
    """The folders with the files of each pod: the load's own for one pod, ``pod-0`` and so on in it for several."""
    from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
    from pytest_llmdbench.stacks.kubernetes.load import launch_in_cluster
    from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite

    site = LoadSite.from_json(endpoint.site or {})
    folders = [load.folder]
    if site.parallelism > 1:
        folders = [load.folder / f"pod-{index}" for index in range(site.parallelism)]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
    commands = [load.harness.command(load.profile, endpoint, place) for place in _places(site, folders)]
    watch = together([load.harness.watch(folder) for folder in folders])
    launched = launch_in_cluster(
        Cluster(site.context, site.namespace, say), site, commands, load.outline,
        timeout_s=timeout_s, watch=watch, say=say, trouble=trouble, give_up=give_up,
    )  # fmt: skip
    return folders, launched


def _places(site: LoadSite, folders: list[Path]) -> list[Place]:
    from pytest_llmdbench.stacks.kubernetes.load_manifest import WORKSPACE

    inside = PurePosixPath(WORKSPACE)
    return [Place(folder, inside, "path", site.processors, index) for index, folder in enumerate(folders)]
