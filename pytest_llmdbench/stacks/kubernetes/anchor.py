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
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.names import OURS, ROLE, RUN
from pytest_llmdbench.stacks.kubernetes.rendered import Expected

#: What the anchor reads: a number that changes, and for how many seconds it is good.
ALIVE: Final = "llmdbench/alive"
CONTAINER: Final = "anchor"
_FOLDER: Final = "/etc/llmdbench"
#: ``$1`` is the file. Only a change counts, by this node's own clock: clocks of others may differ.
_SCRIPT: Final = """
trap 'exit 0' TERM
last=none until=0
while :; do
  now=$(date +%s)
  read -r beat seconds < "$1" || [ -n "$beat" ] || { beat=$last; seconds=0; }
  if [ "$beat" != "$last" ]; then last=$beat; until=$((now + seconds)); fi
  if [ "$now" -ge "$until" ]; then echo "no sign of life for $seconds s: giving everything back"; exit 0; fi
  sleep 1
done
"""
#: Beats within the time that one is good for.
_BEATS: Final = 6


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long things may stay. Seconds.

    ``lease_s`` after the last sign of life; ``hard_s`` in any case.
    """

    lease_s: float = 60.0
    hard_s: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Image:
    """What the anchor's container runs: any image with ``sh`` and ``python3``; ours holds the load programs as well."""

    name: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


def job(run: str, namespace: str, image: Image, bounds: Bounds) -> dict[str, Any]:
    """The Job's manifest. Pure."""
    labels = {**OURS, RUN: run, ROLE: "anchor"}
    container = {
        "name": CONTAINER,
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "command": ["sh", "-c", _SCRIPT, CONTAINER, f"{_FOLDER}/alive"],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "alive", "mountPath": _FOLDER}],
    }
    told = {"path": "alive", "fieldRef": {"fieldPath": f"metadata.annotations['{ALIVE}']"}}
    pod = {
        "metadata": {"labels": labels, "annotations": {ALIVE: f"0 {bounds.lease_s:.0f}"}},
        "spec": {
            "imagePullSecrets": [{"name": name} for name in image.pull_secrets],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 2,
            "containers": [container],
            "volumes": [{"name": "alive", "downwardAPI": {"items": [told]}}],
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": anchor_name(run), "namespace": namespace, "labels": labels},
        "spec": {
            "activeDeadlineSeconds": int(bounds.hard_s),
            "ttlSecondsAfterFinished": 0,
            "backoffLimit": 0,
            "template": pod,
        },
    }


def anchor_name(run: str) -> str:
    """The name of a run's anchor, and of its Lease."""
    return f"llmdbench-{run}"


@dataclass(eq=False)
class Anchor:
    """A run's anchor in the cluster. :meth:`start` before anything else is created, :meth:`end` after all is gone."""

    cluster: Cluster
    run: str
    image: Image
    bounds: Bounds
    owner: dict[str, Any] = field(default_factory=dict)  #: the ownerReference; there after :meth:`start`
    _good_s: float = 0.0
    _number: int = 0
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
        """Keep alive the anchor of an earlier run that is still there; for how many seconds it was kept.

        Raises StandupError if it is not there.
        """
        made = self.cluster.get("batch/v1", "Job", anchor_name(self.run))
        if made is None or made["metadata"].get("deletionTimestamp"):
            raise StandupError(f"the run {self.run} is over: its anchor {anchor_name(self.run)} is gone")
        self._own(made)
        lease = self.cluster.get("coordination.k8s.io/v1", "Lease", anchor_name(self.run)) or {"spec": {}}
        self._number = int(time.time())
        self._good_s = float(lease["spec"].get("leaseDurationSeconds", self.bounds.lease_s))
        self.beat()
        self._begin()
        return self._good_s

    def keep(self, seconds: float) -> None:
        """From now on nobody needs to tell it for so many seconds: the run may end, its stacks stay until then."""
        self._ended.set()
        with self._beating:
            self._good_s = seconds
        self.cluster.patch(
            "batch/v1", "Job", anchor_name(self.run), {"spec": {"activeDeadlineSeconds": int(seconds + 3600)}}
        )
        self.beat()

    def beat(self) -> None:
        """Tell it once that the run lives. Raises ClusterError."""
        with self._beating:
            self._number += 1
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
                        "holderIdentity": _who(),
                        "leaseDurationSeconds": int(self._good_s),
                        "renewTime": now,
                    },
                }
            )
            pod = self._pod or self._find_pod()
            if pod is not None:
                told = {"metadata": {"annotations": {ALIVE: f"{self._number} {self._good_s:.0f}"}}}
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

    def _own(self, made: Mapping[str, Any]) -> None:
        self.owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": made["metadata"]["name"],
            "uid": made["metadata"]["uid"],
        }

    def _find_pod(self) -> str | None:
        pods = self.cluster.objects("v1", "Pod", {RUN: self.run, ROLE: "anchor"})
        return str(pods[0]["metadata"]["name"]) if pods else None

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


def _who() -> str:
    """Whose run it is, for people who look at the Lease."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
