"""Looks after the serving pods while a load is on them: what happened to one makes the measurement unsound."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.events import about
from pytest_llmdbench.stacks.kubernetes.pod_state import lost_node
from pytest_llmdbench.stacks.kubernetes.pods_wanted import common_labels
from pytest_llmdbench.stacks.kubernetes.rendered import Expected
from pytest_llmdbench.stacks.kubernetes.trouble import SHORT_S, containers, how_it_ended, last_end

#: Seconds of one watch, and until the next try where the cluster does not let us.
_WATCH_S: Final = 3600.0
_AGAIN_S: Final = 2.0
#: Why a pod was deleted, where an event says so.
_DELETERS: Final = ("Preempted", "TaintManagerEviction", "Evicted", "ScaleDown", "NodeNotReady")


class Watchman:
    """Watches the pods that are there when it is made, until :meth:`stop`; outlives any trouble of the API server.

    Raises ClusterError when it is made, never after.
    """

    def __init__(self, cluster: Cluster, expected: Sequence[Expected]) -> None:
        self._cluster = cluster
        self._expected = expected
        self._over = threading.Event()
        self._trouble: str | None = None
        self._restarts: dict[str, dict[str, int]] = {}
        self._names: dict[str, str] = {}
        self._lost_since: dict[str, float] = {}
        #: Pods that an autoscaler may take away again.
        self._passing: set[str] = set()
        for role in expected:
            for pod in cluster.objects("v1", "Pod", role.selector):
                if not pod["metadata"].get("deletionTimestamp") and pod["status"].get("phase") == "Running":
                    uid = pod["metadata"]["uid"]
                    self._restarts[uid], self._names[uid] = _restarts(pod), pod["metadata"]["name"]
                    self._passing |= {uid} if role.elastic else set()
        threading.Thread(target=self._watch, name="watchman", daemon=True).start()

    def trouble(self) -> str | None:
        """The first thing that happened to a pod, in a sentence; None while all is well. Cheap; from any thread."""
        return self._trouble

    def stop(self) -> None:
        """Watch no longer. Returns at once; safe to call twice."""
        self._over.set()

    def _watch(self) -> None:
        labels = common_labels(self._expected)
        while not self._over.is_set() and self._names:
            try:
                for pods in self._cluster.watch("v1", "Pod", labels, _WATCH_S):
                    if self._over.is_set():
                        return
                    trouble = self._look({pod["metadata"]["uid"]: pod for pod in pods})
                    if trouble is not None:
                        self._trouble = trouble
                        return
            except ClusterError:
                # The load may well go on without an API server; what happened meanwhile is seen afterwards.
                self._over.wait(_AGAIN_S)

    def _look(self, pods: Mapping[str, Mapping[str, Any]]) -> str | None:
        for uid, name in self._names.items():
            pod = pods.get(uid)
            if uid in self._passing and (pod is None or pod["metadata"].get("deletionTimestamp")):
                continue
            found = self._gone(uid) if pod is None else self._changed(pod)
            if found is not None:
                return f"pod {name} {found} during the load"
        return None

    def _changed(self, pod: Mapping[str, Any]) -> str | None:
        """What happened to a pod that is still there."""
        uid, status = pod["metadata"]["uid"], pod.get("status") or {}
        if status.get("phase") == "Failed" and status.get("reason"):
            return f"was ended by its node ({status['reason']}: {str(status.get('message', '')).strip()})"
        if pod["metadata"].get("deletionTimestamp"):
            return self._gone(uid)
        for _, container in containers(pod):
            end = last_end(container)
            rose = container.get("restartCount", 0) > self._restarts[uid].get(container["name"], 0)
            if rose or (end is not None and not end[1] and not _was_done(container)):
                how = how_it_ended(pod, container["name"], end[0]) if end else "Kubernetes does not say why"
                return f"lost its container {container['name']} ({how})"
        if not lost_node(pod):
            self._lost_since.pop(uid, None)
        elif time.monotonic() - self._lost_since.setdefault(uid, time.monotonic()) >= SHORT_S:
            return f"was cut off: its node {pod['spec'].get('nodeName')} does not answer any more (NodeNotReady)"
        return None

    def _gone(self, uid: str) -> str:
        """That a pod was deleted, and what events know of it."""
        try:
            events = self._cluster.objects("v1", "Event", field=f"involvedObject.uid={uid}")
        except ClusterError:
            events = []
        told = [one for one in about({"metadata": {"uid": uid}}, events) if one.get("reason") in _DELETERS]
        return f"was deleted ({told[-1]['reason']}: {told[-1]['message']})" if told else "was deleted"


def _restarts(pod: Mapping[str, Any]) -> dict[str, int]:
    return {container["name"]: int(container.get("restartCount", 0)) for _, container in containers(pod)}


def _was_done(container: Mapping[str, Any]) -> bool:
    """Whether it is an init container that did what it had to do."""
    return bool(container.get("ready")) and not container["state"]["terminated"].get("exitCode")
