"""Runs a load program in pods beside the stack, and brings back what it left: as if it had run here."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError, counted
from pytest_llmdbench.harnesses.harness import Command, Progress
from pytest_llmdbench.harnesses.launcher import GRACE_S, GiveUp, Launched, last_lines, too_long
from pytest_llmdbench.harnesses.progress_line import Outline, ProgressLine
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.collect import Collected, collect
from pytest_llmdbench.stacks.kubernetes.hide import hide_text
from pytest_llmdbench.stacks.kubernetes.load_inputs import COMMAND
from pytest_llmdbench.stacks.kubernetes.load_manifest import COLLECTOR, LOAD, WORKSPACE
from pytest_llmdbench.stacks.kubernetes.load_pods import LoadPods
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.load_words import Words

#: Bytes of results from which on people are told how long they took.
_WORTH_TELLING: Final = 10_000_000


def launch_in_cluster(
    cluster: Cluster, site: LoadSite, commands: Sequence[Command], outline: Outline, *, timeout_s: float,
    watch: Callable[[], Progress], say: Say, trouble: Callable[[], str | None], give_up: GiveUp | None = None,
) -> Launched:  # fmt: skip
    """Run a load program in pods, one for each command, and say how far they are; their files land in ``cwd`` each.

    The pods begin at one moment. An exit code other than 0 is returned, not raised: the first one. Whatever happens,
    nothing of the load is left in the cluster.

    Args:
        cluster: where the pods are made.
        site: what they are given.
        commands: what they run, written for :data:`~.load_manifest.WORKSPACE`.
        outline: what their progress is measured by.
        timeout_s: how long they may take from their start, wall seconds.
        watch: says what the programs themselves report, read from ``stdout.log`` in their folders here.
        say: shows a line to people.
        trouble: says what has happened to the stack that spoils the load; asked once a second.
        give_up: asked a few times a second; the programs are told to end once there is a reason.

    Raises:
        HarnessError: the pods could not start, were killed (for memory, from outside), took too long; the stack has
            trouble; the results did not come through. With the last lines of the log where there are any.
    """
    name = outline.name
    with LoadPods(cluster, site, commands, timeout_s, name=name, say=say, trouble=trouble) as pods:
        pods.up()
        started, begin = datetime.now(UTC), pods.go()
        words = [Words(cluster, pod, one.cwd) for pod, one in zip(pods.names, commands, strict=True)]
        try:
            ended, abandoned = _wait(pods, ProgressLine(outline, watch, say).look, begin, timeout_s, give_up)
        except HarnessError as error:
            raise HarnessError(f"{error}\n  the last it said:\n{_said(commands[0].cwd)}") from error
        finally:
            for one in words:
                one.stop()
        elapsed = time.monotonic() - begin
        if ended is None and abandoned is None:
            with contextlib.suppress(HarnessError):  # that it took too long matters more
                _collect(cluster, pods.names, commands)
            raise HarnessError(
                f"{too_long(outline, timeout_s)} Its files are in {commands[0].cwd}; the last it said:\n"
                f"{_said(commands[0].cwd)}"
            )
        _say_size(_collect(cluster, pods.names, commands), name, say)
    ended = ended or {}
    for command, (pod, state) in zip(commands, ended.items(), strict=bool(ended)):
        if state.get("reason") == "OOMKilled":
            raise HarnessError(
                f"{name}: load pod {pod} was OOMKilled: it needs more than its memory of {site.memory}; raise "
                f"load.memory, or send the load from more pods. The last it said:\n{_said(command.cwd)}"
            )
    code = next((int(state["exitCode"]) for state in ended.values() if state["exitCode"]), 0)
    return Launched(code, elapsed, started.isoformat(timespec="milliseconds"), abandoned)


class _GivenUp(Exception):
    """Ends a wait; its text says why."""


def _wait(
    pods: LoadPods, look: Callable[[float], None], begin: float, timeout_s: float, give_up: GiveUp | None
) -> tuple[Mapping[str, Any] | None, str | None]:
    """As :meth:`LoadPods.wait`, and why the load was given up; the programs have been ended then."""

    def both(elapsed: float) -> None:
        if give_up is not None and (why := give_up(elapsed)) is not None:
            raise _GivenUp(why)
        look(elapsed)

    try:
        return pods.wait(both, begin, timeout_s), None
    except _GivenUp as given:
        ended = None
        for signal in ("TERM", "KILL"):
            pods.stop(signal)
            ended = pods.wait(look, time.monotonic(), GRACE_S)
            if ended is not None:
                break
        return ended, str(given)


def hold_in_cluster(
    cluster: Cluster, site: LoadSite, command: Command, *, name: str, seconds: float, say: Say,
    trouble: Callable[[], str | None],
) -> str:  # fmt: skip
    """A load pod that runs nothing, for people to look around in, until Ctrl-C or for so many seconds.

    Gives a sentence on how it ended.

    Raises:
        HarnessError: it could not start, or something has happened to it or to the stack.
        KeyboardInterrupt: the run was told to end (SIGTERM).
    """
    with LoadPods(cluster, site, [command], seconds, name=name, say=say, trouble=trouble, hold=True) as pods:
        pods.up()
        (pod,) = pods.names
        context = ["--context", site.context] if site.context else []
        enter = ["kubectl", *context, "--namespace", site.namespace, "exec", "-it", pod, "-c", LOAD, "--", "sh"]
        told = " ".join(f"{key}={shlex.quote(value)}" for key, value in command.env.items())
        say(f"{name}: nothing is sent; pod {pod} has everything that the load would have")
        say(f"  to get in:          {shlex.join(enter)}")
        say(f"  inside, the load:   cd {WORKSPACE} && env {told} {shlex.join(command.argv)}")
        say(f"  to end it:          Ctrl-C here; else it ends in {seconds / 60:.0f} minutes, and the run goes on")
        try:
            ended = pods.wait(lambda _: None, time.monotonic(), seconds)
        except KeyboardInterrupt as interrupt:
            if interrupt.args:  # told to end by SIGTERM, which ends all of the run and not this pod alone
                raise
            return f"held pod {pod} until Ctrl-C; no load was sent (--llmd-debug-pod)"
    how = "its time was up" if ended is None else "it ended"
    return f"held pod {pod} until {how}; no load was sent (--llmd-debug-pod)"


def _collect(cluster: Cluster, pods: Sequence[str], commands: Sequence[Command]) -> list[Collected]:
    """Bring all pods' files here, side by side."""

    def one(pod: str, command: Command) -> Collected:
        # What was brought there need not come back.
        leave = {COMMAND, *(PurePosixPath(name).parts[0] for name in command.reads)}
        return collect(cluster, pod, COLLECTOR, WORKSPACE, command.cwd, sorted(leave))

    with ThreadPoolExecutor(max_workers=4) as threads:
        return list(threads.map(one, pods, commands))


def _said(folder: Path) -> str:
    """The end of what a program said, to go into a message: without what looks like a secret."""
    return hide_text(last_lines(folder))


def _say_size(results: Sequence[Collected], name: str, say: Say) -> None:
    whole = Collected(sum(one.size for one in results), max(one.seconds for one in results))
    if whole.size >= _WORTH_TELLING:
        say(f"{name}: results of {counted(len(results), 'pod')} taken, {whole}")
