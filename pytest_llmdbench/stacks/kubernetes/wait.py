"""Waits by watching: until pods are Ready, or a Job is complete. What is hopeless ends them at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.follow import Follow, Kind
from pytest_llmdbench.stacks.kubernetes.hide import hide_text
from pytest_llmdbench.stacks.kubernetes.pods_wanted import Lists, Look, common_labels, job_look, pods_look
from pytest_llmdbench.stacks.kubernetes.rendered import Expected
from pytest_llmdbench.stacks.kubernetes.trouble import Trouble

#: Seconds after which the status line is said again though nothing has changed.
TELL_EVERY_S: Final = 10.0
#: Seconds between two looks at the clock and at an interrupt.
_LOOK_S: Final = 0.25
#: Lines of a crashed container's log that go into the message.
_LOG_LINES: Final = 20


def wait_ready(
    cluster: Cluster,
    expected: Sequence[Expected],
    *,
    deadline: float,
    say: Say,
    interrupted: threading.Event,
    wait_for_gpus: bool = False,
    name: str = "the stack",
) -> None:
    """Return once every role has exactly the pods it should have, all Ready; terminating ones do not count.

    ``deadline`` is of ``time.monotonic``; ``wait_for_gpus``: pods for which the cluster is too full are waited for.
    ``name`` begins every line and message, as in ``stack h100``.

    Raises:
        StandupError: it cannot get better, the deadline is over, the wait was interrupted, the cluster refused to
            tell or did not answer.
    """
    common = common_labels(expected)
    kinds = (
        Kind("v1", "Pod", common),
        Kind("v1", "Event", optional=True),
        Kind("v1", "PersistentVolumeClaim", optional=True),
        Kind("apps/v1", "ReplicaSet", common, optional=True),
    )
    _wait(
        cluster, kinds, lambda lists: pods_look(expected, lists, wait_for_gpus=wait_for_gpus),
        deadline=deadline, say=say, interrupted=interrupted, name=name,
    )  # fmt: skip


def wait_job(
    cluster: Cluster, job: str, *, deadline: float, say: Say, interrupted: threading.Event, name: str | None = None
) -> None:
    """Return once a Job is complete.

    Raises:
        StandupError: it failed (with its last words), is gone or was never there, cannot get better; and as
            :func:`wait_ready`.
    """
    kinds = (
        Kind("batch/v1", "Job"),
        Kind("v1", "Pod", {"job-name": job}),
        Kind("v1", "Event", optional=True),
        Kind("v1", "PersistentVolumeClaim", optional=True),
    )
    _wait(
        cluster, kinds, lambda lists: job_look(job, lists),
        deadline=deadline, say=say, interrupted=interrupted, name=name or f"job {job}",
    )  # fmt: skip


def _wait(
    cluster: Cluster, kinds: Sequence[Kind], look: Callable[[Lists], Look], *, deadline: float, say: Say,
    interrupted: threading.Event, name: str,
) -> None:  # fmt: skip
    """Look after each change, until all is there or nothing helps."""
    seen = Look(False, "no answer from the cluster yet")
    line, told = seen.key, time.monotonic()
    since: dict[tuple[str, str], float] = {}
    with Follow(cluster, *kinds) as follow:
        while True:
            if interrupted.is_set():
                raise StandupError(f"{name}: the run ended while it was waited for ({seen.line})")
            try:
                lists = follow.lists()
            except ClusterError as error:
                raise StandupError(f"{name}: {error}; the last that was seen: {seen.line}") from error
            now = time.monotonic()
            if lists is not None:
                seen = look(lists)
                if seen.done:
                    return
                since = {(who, one.word): since.get((who, one.word), now) for who, one in seen.troubles}
                for who, trouble in seen.troubles:
                    if now - since[who, trouble.word] >= trouble.patience_s:
                        raise StandupError(hide_text(f"{name}: {trouble.why}{_last_words(cluster, who, trouble)}"))
            if now >= deadline:
                raise StandupError(f"{name} was not ready in time (timeouts.standup_s); {seen.line}{seen.detail}")
            if seen.key != line or now - told >= TELL_EVERY_S:
                line, told = seen.key, now
                say(f"{name}: {seen.line}")
            follow.wait(_LOOK_S)


def _last_words(cluster: Cluster, pod: str, trouble: Trouble) -> str:
    """The end of a crashed container's log, indented, to go into a message."""
    if trouble.crashed is None:
        return ""
    container, previous = trouble.crashed
    text = ""
    for incarnation in (previous, not previous):
        with contextlib.suppress(ClusterError):  # a log that is gone must not hide the cause
            text = text or cluster.logs(pod, container, previous=incarnation, tail=_LOG_LINES).strip()
    if not text:
        return "\n  it wrote nothing"
    return "\n  the last it wrote:" + "".join(f"\n    {one[:500]}" for one in text.splitlines())
