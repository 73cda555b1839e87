"""The anchor: the Job that owns every object of a run, and ends when nobody tells it any more that the run lives.

Its only container ends once its own pod's annotation has not changed for as long as the last one said; then Kubernetes
deletes the Job, and with it all that it owns, with no help from here. The annotation reaches the container as a file
(downward API), so the anchor needs no token, no ServiceAccount and no Role. The Lease says the same to people, and to
other runs.
"""

from __future__ import annotations

import getpass
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.anchor_job import ALIVE, CONTAINER, Bounds, Image, anchor_name, job
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.names import KEPT, OURS, ROLE, RUN
from pytest_llmdbench.stacks.kubernetes.rendered import Expected

#: Beats within the time that one is good for.
_BEATS: Final = 6


@dataclass(eq=False)
class Anchor:
    """A run's anchor in the cluster. :meth:`start` before anything else is created, :meth:`end` after all is gone."""

    cluster: Cluster
    run: str
    image: Image
    bounds: Bounds
    owner: dict[str, Any] = field(default_factory=dict)  #: the ownerReference; there after :meth:`start`
    _good_s: float = 0.0
    _pod: str | None = None
    _lost: str | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _beating: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Create the Job and the Lease and begin to beat. Raises ClusterError."""
        made = self.cluster.apply(job(self.run, self.cluster.namespace, self.image, self.bounds))
        self._own(made)
        self._good_s = self.bounds.lease_s
        self.beat()
        self._begin()

    def adopt(self) -> float:
        """Keep alive the anchor of a kept run while this one uses a stack of it; for how many seconds it was kept.

        Raises:
            ClusterError: it is not there any more, or could not be told.
        """
        self._own(self._bounded(self.bounds.hard_s))
        lease = self.cluster.get("coordination.k8s.io/v1", "Lease", anchor_name(self.run)) or {"spec": {}}
        self._good_s = float(lease["spec"].get("leaseDurationSeconds", self.bounds.lease_s))
        self.beat()
        self._begin()
        return self._good_s

    def keep(self, seconds: float) -> None:
        """From now on nobody needs to tell it for so many seconds: the run may end, its stacks stay until then.

        Raises ClusterError.
        """
        self._ended.set()
        with self._beating:
            self._good_s = seconds
        self.beat()
        self._bounded(seconds, {"labels": {KEPT: "stacks"}})

    def _bounded(self, seconds: float, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Have the hard bound come no sooner than in so many seconds; the Job as it is then."""
        made = self.cluster.get("batch/v1", "Job", anchor_name(self.run))
        if made is None or made["metadata"].get("deletionTimestamp"):
            raise ClusterError(f"the run {self.run} is over: its anchor {anchor_name(self.run)} is gone", 404)
        age = (datetime.now(UTC) - datetime.fromisoformat(made["metadata"]["creationTimestamp"])).total_seconds()
        # An hour is more than clocks differ.
        bound = max(int(age + seconds + 3600), made["spec"].get("activeDeadlineSeconds", 0))
        change = {"metadata": dict(metadata or {}), "spec": {"activeDeadlineSeconds": bound}}
        return self.cluster.patch("batch/v1", "Job", anchor_name(self.run), change)

    def beat(self) -> None:
        """Tell it once that the run lives. Raises ClusterError."""
        with self._beating:
            # Several sessions may use stacks of one kept run: none of them says what another has said.
            number = time.time_ns() // 1_000_000
            now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            self.cluster.apply(
                {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {
                        "name": anchor_name(self.run),
                        "namespace": self.cluster.namespace,
                        "labels": {**OURS, RUN: self.run},
                        "ownerReferences": [self.owner],
                    },
                    "spec": {
                        "holderIdentity": who(),
                        "leaseDurationSeconds": int(self._good_s),
                        "renewTime": now,
                    },
                }
            )
            pod = self._pod or self._find_pod()
            if pod is not None:
                told = {"metadata": {"annotations": {ALIVE: f"{number} {self._good_s:.0f}"}}}
                self.cluster.patch("v1", "Pod", pod, told)

    def pod(self, deadline: float, say: Say, interrupted: threading.Event) -> str:
        """The name of its pod once that runs: from there the stack is seen as the load sees it.

        ``deadline`` is of ``time.monotonic``. Raises StandupError if it does not come to run.
        """
        from pytest_llmdbench.stacks.kubernetes.wait import wait_ready

        expected = Expected("anchor", {RUN: self.run, ROLE: "anchor"}, 1, CONTAINER)
        wait_ready(
            self.cluster, [expected], deadline=deadline, say=say, interrupted=interrupted, name="the run's anchor"
        )
        self._pod = self._find_pod()
        if self._pod is None:
            raise StandupError(f"the pod of the run's anchor {anchor_name(self.run)} is gone")
        return self._pod

    def lost(self) -> str | None:
        """Why the anchor can no longer be told, if so: then the cluster is about to take everything away."""
        return self._lost

    def end(self) -> None:
        """Delete the Job, and so all that it owns and that is still there. Raises ClusterError."""
        self._ended.set()
        with self._beating:
            self.cluster.delete("batch/v1", "Job", anchor_name(self.run))
            pod = self._find_pod()
            if pod is not None:
                # It holds nothing that anybody waits for, and some nodes take ten seconds to say that a pod is gone.
                self.cluster.delete("v1", "Pod", pod, at_once=True)

    def _own(self, made: Mapping[str, Any]) -> None:
        self.owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": made["metadata"]["name"],
            "uid": made["metadata"]["uid"],
        }

    def _find_pod(self) -> str | None:
        pods = self.cluster.objects("v1", "Pod", {RUN: self.run, ROLE: "anchor"})
        names = [one["metadata"]["name"] for one in pods if not one["metadata"].get("deletionTimestamp")]
        return str(names[0]) if names else None

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._live, name=f"anchor-{self.run}", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        told = time.monotonic()
        while not self._ended.wait(min(self.bounds.lease_s / _BEATS, 10.0)):
            try:
                self.beat()
                told, self._lost = time.monotonic(), None
            except ClusterError as error:
                if error.status == 404 or time.monotonic() - told > self.bounds.lease_s:
                    self._lost = f"the run's anchor {anchor_name(self.run)} cannot be told that the run lives: {error}"


def who() -> str:
    """Whose run it is: ``ada@laptop``, in its Lease."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
