"""The pods of one load, from their making to their end; what happens to them is seen by watching."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError, counted
from pytest_llmdbench.harnesses.harness import Command
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.follow import Follow, Kind
from pytest_llmdbench.stacks.kubernetes.hide import hide_text
from pytest_llmdbench.stacks.kubernetes.load_inputs import inputs
from pytest_llmdbench.stacks.kubernetes.load_manifest import COLLECTOR, GO, LOAD, PID, job, selector
from pytest_llmdbench.stacks.kubernetes.load_seen import Seen, gone, seen
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.names import new_run
from pytest_llmdbench.stacks.kubernetes.streams import run_in

#: Seconds that pods may take to be up, an image of some GB to be pulled included; what is hopeless ends it at once.
START_S: Final = 1200.0
#: Seconds that results wait in a pod for whoever takes them.
COLLECT_S: Final = 900.0
#: Seconds between two looks at the clock, at an interrupt, and at the stack.
LOOK_S: Final = 0.2
_TROUBLE_EVERY_S: Final = 1.0
#: Seconds after which the line on pods that are not up is said again, and before it is said at all.
_TELL_EVERY_S: Final = 10.0
_TELL_AFTER_S: Final = 3.0
#: Seconds from the first signal to the common start of several pods, and what each pod adds: by then the last one must
#: have heard it. A signal takes some tenths of a second, and so many are on their way at once: more of them slow each
#: other down, and a pod begins later by as much as its own signal took.
_LEAD_S: Final = 2.0
_LEAD_PER_POD_S: Final = 0.25
_SIGNALS_AT_ONCE: Final = 8
#: How much of a pod's own words an error repeats.
_LOG_LINES: Final = 12
#: Ends a program, if it has not ended by itself: ``$1`` the file that says which, ``$2`` the signal.
_STOP: Final = 'kill -s "$2" "$(cat "$1")" 2>/dev/null || ! kill -0 "$(cat "$1")" 2>/dev/null'
#: The signal to begin, written at once or not at all: ``$1`` the file, ``$2`` what it says.
_SIGNAL: Final = 'printf "%s\\n" "$2" > "$1.part" && mv "$1.part" "$1"'


class LoadPods:
    """A Job and its ConfigMap, there inside the ``with`` block; whatever ends it deletes both.

    ``name`` begins every line and message. ``trouble`` says what spoils the load from outside, None while all is well.
    """

    def __init__(
        self, cluster: Cluster, site: LoadSite, commands: Sequence[Command], seconds: float, *, name: str, say: Say,
        trouble: Callable[[], str | None], hold: bool = False,
    ) -> None:  # fmt: skip
        self._cluster, self._count = cluster, len(commands)
        self._name, self._say, self._trouble = name, say, trouble
        self._part = f"load-{new_run()}"
        given = inputs(commands)
        # Counted from the Job's making; who waits for the pods counts from their start, and is to be the first to end.
        whole = seconds + START_S + COLLECT_S
        self._given = given.manifest(site.names.metadata(self._part))
        self._job = job(site, self._part, given, len(commands), whole, hold=hold)
        events = Kind("v1", "Event", optional=True)
        self._follow = Follow(cluster, Kind("v1", "Pod", selector(site, self._part)), events)
        self._asked = 0.0
        self._pods: tuple[str, ...] = ()
        self._since: dict[tuple[str, str], float] = {}

    def __enter__(self) -> LoadPods:
        try:
            # Applied, as the client asks again when an answer is lost: then what is there already is no error.
            self._cluster.apply(self._given)
            self._cluster.apply(self._job)
            self._follow.__enter__()
        except ClusterError as error:
            self._delete()
            raise HarnessError(f"{self._name}: {error}") from error
        except BaseException:
            self._delete()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._follow.__exit__(kind, error, trace)
        self._delete()

    @property
    def names(self) -> tuple[str, ...]:
        """The pods, once :meth:`up` has returned."""
        return self._pods

    def up(self) -> None:
        """Return when all pods run and wait for the signal.

        Raises:
            HarnessError: they cannot, or not in time; with the reason.
        """
        begun = time.monotonic()
        told_at, told, last = begun + _TELL_AFTER_S - _TELL_EVERY_S, "", Seen()
        while True:
            lists, now = self._lists(), time.monotonic()
            if lists is not None:
                last = seen(lists, self._job["metadata"]["name"], self._count)
                if last.up:
                    self._pods = last.pods
                    return
                if last.ended:
                    raise HarnessError(f"{self._name}: {self._too_early(*next(iter(last.ended.items())))}")
                self._check(last)
            if now - begun >= START_S:
                raise HarnessError(f"{self._name}: the load pods were not up within {START_S:.0f} s; {last.line}")
            if now - told_at >= (_TELL_EVERY_S if last.line == told else LOOK_S) and now - begun >= _TELL_AFTER_S:
                told_at, told = now, last.line
                self._say(f"{self._name}: {last.line}")
            self._follow.wait(LOOK_S)

    def go(self) -> float:
        """Tell all pods to begin, at one moment; gives that moment, of ``time.monotonic``.

        Raises:
            HarnessError: a pod could not be told, or one of several not before that moment.
        """
        if self._count == 1:
            return self._tell(0, time.monotonic())
        lead = _LEAD_S + _LEAD_PER_POD_S * self._count
        begin = time.monotonic() + lead
        with ThreadPoolExecutor(_SIGNALS_AT_ONCE, "go") as threads:
            late = max(threads.map(lambda index: self._tell(index, begin), range(self._count))) - begin
        if late > 0:
            raise HarnessError(
                f"{self._name}: the {self._count} load pods could not begin at one moment: the last signal to begin "
                f"came through {lead + late:.1f} s after the first was sent, and {lead:.1f} s is what they are given; "
                "the API server is slow to answer, or take fewer pods (load.parallelism)"
            )
        return begin

    def _tell(self, index: int, begin: float) -> float:
        """Tell one pod when to begin; gives the moment at which it knew."""
        pod = self._pods[index]
        # Told as a delay: clocks of machines differ.
        signal = f"{index} {max(0.0, begin - time.monotonic()):.3f}"
        try:
            done = run_in(self._cluster, pod, COLLECTOR, ["sh", "-c", _SIGNAL, "go", GO, signal])
        except ClusterError as error:
            raise HarnessError(f"{self._name}: {error}") from error
        if done.code:
            said = hide_text(done.err.strip())
            raise HarnessError(f"{self._name}: load pod {pod} could not be told to begin: {said}")
        return time.monotonic()

    def wait(self, look: Callable[[float], None], begin: float, timeout_s: float) -> Mapping[str, Any] | None:
        """The ``terminated`` states of the programs by pod, once all have ended; None when their time is up.

        ``look`` is called now and then with the seconds since ``begin``.

        Raises:
            HarnessError: something has happened to a pod, to the stack, or the cluster does not tell.
        """
        while True:
            lists = self._lists()
            elapsed = time.monotonic() - begin
            if lists is not None:
                what = gone(self._pods, lists)
                if what is not None:
                    raise HarnessError(f"{self._name}: {what} during the load")
                last = seen(lists, self._job["metadata"]["name"], self._count)
                # One that was replaced before the load began may have ended as well.
                if last.ended.keys() >= set(self._pods):
                    return {pod: last.ended[pod] for pod in self._pods}
                self._check(last)
            if elapsed >= timeout_s:
                return None
            if elapsed > 0:
                look(elapsed)
            self._follow.wait(LOOK_S)

    def stop(self, signal: str) -> None:
        """Tell all programs to end: ``TERM``, or ``KILL``. Raises HarnessError where one could not be told."""
        for pod in self._pods:
            try:
                done = run_in(self._cluster, pod, LOAD, ["sh", "-c", _STOP, "stop", PID, signal])
            except ClusterError as error:
                raise HarnessError(f"{self._name}: load pod {pod} could not be told to end: {error}") from error
            if done.code:
                said = hide_text(done.err.strip())
                raise HarnessError(f"{self._name}: load pod {pod} could not be told to end: {said}")

    def _check(self, last: Seen) -> None:
        """Raise what is hopeless, once it has been so for long enough."""
        now = time.monotonic()
        self._since = {(who, one.word): self._since.get((who, one.word), now) for who, one in last.troubles}
        for who, trouble in last.troubles:
            if now - self._since[who, trouble.word] >= trouble.patience_s:
                raise HarnessError(f"{self._name}: {trouble.why}")

    def _lists(self) -> Mapping[str, list[dict[str, Any]]] | None:
        """What is there; looks at the stack as well."""
        if time.monotonic() - self._asked >= _TROUBLE_EVERY_S:
            what = self._trouble()
            self._asked = time.monotonic()
            if what is not None:
                raise HarnessError(f"{self._name} was ended: {what}")
        try:
            return self._follow.lists()
        except ClusterError as error:
            raise HarnessError(f"{self._name}: nobody can tell how the load is: {error}") from error

    def _delete(self) -> None:
        left = []
        for version, kind in (("batch/v1", "Job"), ("v1", "ConfigMap")):
            name = self._job["metadata"]["name"]
            try:
                self._cluster.delete(version, kind, name)
            except ClusterError as error:
                left.append(f"{kind} {name} ({error})")
        if left:
            self._say(f"{self._name}: {counted(len(left), 'object')} not deleted, which go with the run: {left}")

    def _too_early(self, pod: str, ended: Mapping[str, Any]) -> str:
        """The sentence on a pod whose program ended before it was told to begin."""
        said = ""
        with contextlib.suppress(ClusterError):  # a log that is gone must not hide the cause
            said = hide_text(self._cluster.logs(pod, LOAD, tail=_LOG_LINES).strip())
        how = f"exit code {ended.get('exitCode')}, {ended.get('reason', 'no reason given')}"
        return f"load pod {pod} ended before its load ({how}); it wrote:\n{said or '(nothing)'}"
