"""Lists of objects that threads keep up to date, so that whoever waits for them can be interrupted at any time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError

#: Seconds of one watch; then it begins again.
_WATCH_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What is followed: a kind, with these labels. ``optional``: go on without it if we may not read it."""

    api_version: str
    kind: str
    labels: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False


class Follow:
    """All objects of some kinds as the cluster has them; a context manager.

    A thread per kind watches. Leaving never waits for them: a thread that hangs on an API server that does not answer
    ends by itself.
    """

    def __init__(self, cluster: Cluster, *kinds: Kind) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self._changed = threading.Condition()
        self._lists: dict[str, list[dict[str, Any]]] = {}
        self._error: ClusterError | None = None
        self._version = 0
        self._over = threading.Event()

    def __enter__(self) -> Follow:
        for kind in self._kinds:
            threading.Thread(target=self._follow, args=(kind,), name=f"follow-{kind.kind}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()

    def lists(self) -> Mapping[str, list[dict[str, Any]]] | None:
        """By kind; None until each has been read once. Raises ClusterError once a kind cannot be read."""
        with self._changed:
            if self._error is not None:
                raise self._error
            return dict(self._lists) if len(self._lists) == len(self._kinds) else None

    def wait(self, seconds: float) -> None:
        """Return when something has changed since the last call, or so many seconds are over."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > 0, seconds)
            self._version = 0

    def _follow(self, kind: Kind) -> None:
        last: list[tuple[str, str]] | None = None
        try:
            while not self._over.is_set():
                for things in self._cluster.watch(kind.api_version, kind.kind, kind.labels, _WATCH_S):
                    if self._over.is_set():
                        return
                    now = [(one["metadata"]["uid"], one["metadata"]["resourceVersion"]) for one in things]
                    if now != last:
                        last = now
                        self._tell(kind, things)
        except ClusterError as error:
            refused = error.status in (403, 404)
            self._tell(kind, [], None if kind.optional and refused else error)

    def _tell(self, kind: Kind, things: list[dict[str, Any]], error: ClusterError | None = None) -> None:
        with self._changed:
            self._lists[kind.kind] = things
            self._error = error or self._error
            self._version += 1
            self._changed.notify_all()
