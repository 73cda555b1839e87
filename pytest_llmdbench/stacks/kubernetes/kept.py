"""Stacks that outlive their session on purpose, and what others left: noted in the cluster, found there again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.anchor_job import anchor_name
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.names import KEPT, OURS, ROLE, RUN, STACK, USED_BY, Names

#: What two stacks have in common that are deployed alike.
FINGERPRINT: Final = "llmdbench/fingerprint"
#: What a stack's record is called.
_RECORD: Final = "stack"
#: Everything that a run may leave where nothing owns it, or that is owned and on its way; (apiVersion, kind).
KINDS: Final = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("coordination.k8s.io/v1", "Lease"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    ("inference.networking.k8s.io/v1", "InferencePool"),
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("inference.networking.x-k8s.io/v1alpha2", "InferenceObjective"),
    ("networking.istio.io/v1beta1", "DestinationRule"),
    ("agentgateway.dev/v1alpha1", "AgentgatewayParameters"),
    ("networking.gke.io/v1", "GCPBackendPolicy"),
    ("networking.gke.io/v1", "HealthCheckPolicy"),
    ("route.openshift.io/v1", "Route"),
)


@dataclass(frozen=True, slots=True)
class StackRecord:
    """A stack as another session finds it: its names, and what it was made from."""

    key: str
    run: str
    stack: str
    fingerprint: str

    def manifest(self, names: Names) -> dict[str, Any]:
        """The ConfigMap that holds it."""
        metadata = names.metadata(_RECORD)
        metadata["labels"] = {**metadata["labels"], FINGERPRINT: self.fingerprint}
        data = {"stack.json": json.dumps(asdict(self), sort_keys=True)}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def claim(self, cluster: Cluster, run: str) -> bool:
        """Take the stack for a run, unless a run that is alive has it; of several who try, one gets it.

        Raises ClusterError.
        """
        made = cluster.get("v1", "ConfigMap", self._name)
        if made is None or _user(cluster, made) not in (None, run):
            return False
        taken = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"], "labels": {USED_BY: run}}}
        try:
            cluster.patch("v1", "ConfigMap", self._name, taken)
        except ClusterError as error:
            if error.status not in (404, 409):
                raise
            # The answer to our own change may have been lost.
            now = cluster.get("v1", "ConfigMap", self._name) or {"metadata": {"labels": {}}}
            return bool(now["metadata"]["labels"].get(USED_BY) == run)
        return True

    def user(self, cluster: Cluster) -> str | None:
        """The run that uses it, if that is alive. Raises ClusterError."""
        made = cluster.get("v1", "ConfigMap", self._name)
        return None if made is None else _user(cluster, made)

    def give_back(self, cluster: Cluster) -> None:
        """Let others take it. Raises ClusterError."""
        cluster.patch("v1", "ConfigMap", self._name, {"metadata": {"labels": {USED_BY: None}}})

    @property
    def _name(self) -> str:
        return Names(self.run, self.stack, "").name(_RECORD)


def _user(cluster: Cluster, record: Mapping[str, Any]) -> str | None:
    user: str | None = record["metadata"]["labels"].get(USED_BY)
    return user if user in {one.id for one in runs(cluster)} else None


def fingerprint(deployed: Mapping[str, Any]) -> str:
    """A short hash of what decides what is deployed; a label's value."""
    text = json.dumps(deployed, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def records(cluster: Cluster, labels: Mapping[str, str]) -> list[StackRecord]:
    """The kept stacks with these labels, used or not, the newest first. Raises ClusterError."""
    maps = cluster.objects("v1", "ConfigMap", {**OURS, **labels})
    maps.sort(key=lambda one: str(one["metadata"].get("creationTimestamp")), reverse=True)
    found = [
        StackRecord(**json.loads(one["data"]["stack.json"])) for one in maps if "stack.json" in one.get("data", {})
    ]
    kept = {run.id for run in runs(cluster) if run.kept}
    return [one for one in found if one.run in kept]


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run whose anchor is there.

    ``holder`` is who started it, or used it last; ``good_until`` when it ends if nobody says more; ``kept`` whether it
    is over and its stacks stay.
    """

    id: str
    kept: bool
    holder: str
    good_until: datetime | None
    stacks: tuple[str, ...]


def runs(cluster: Cluster) -> list[LiveRun]:
    """The runs in the namespace that are alive, or kept. Raises ClusterError."""
    anchors = cluster.objects("batch/v1", "Job", {**OURS, ROLE: "anchor"})
    leases = {one["metadata"]["name"]: one["spec"] for one in cluster.objects("coordination.k8s.io/v1", "Lease", OURS)}
    maps = cluster.objects("v1", "ConfigMap", OURS)
    found = []
    for anchor in anchors:
        if anchor["metadata"].get("deletionTimestamp"):
            continue
        run = anchor["metadata"]["labels"][RUN]
        lease = leases.get(anchor_name(run), {})
        mine = [
            one for one in maps if one["metadata"]["labels"].get(RUN) == run and "stack.json" in one.get("data", {})
        ]
        keys = tuple(sorted(json.loads(one["data"]["stack.json"])["key"] for one in mine))
        kept, holder = KEPT in anchor["metadata"]["labels"], str(lease.get("holderIdentity", "unknown"))
        found.append(LiveRun(run, kept, holder, _until(lease), keys))
    return found


def leftovers(cluster: Cluster) -> Iterator[tuple[str, str, str, str]]:
    """(apiVersion, kind, name, run) of objects of ours whose run has no anchor any more. Raises ClusterError.

    A run makes its anchor before anything else and deletes it after all else, so there is nobody to miss these. What
    an anchor owned is on its way already and is not listed.
    """
    found = list(_all(cluster, OURS))
    # Asked last: a run that began while the others were listed has its anchor by now.
    alive = {one["metadata"]["labels"].get(RUN) for one in cluster.objects("batch/v1", "Job", {**OURS, ROLE: "anchor"})}
    for version, kind, one in found:
        metadata = one["metadata"]
        run = metadata["labels"].get(RUN)
        gone = metadata.get("ownerReferences") or metadata.get("deletionTimestamp")
        if run and run not in alive and not gone:
            yield version, kind, metadata["name"], run


def sweep(cluster: Cluster) -> list[str]:
    """Delete what earlier runs left; what was deleted, as ``secret/x of run y``. Raises ClusterError."""
    swept = []
    for version, kind, name, run in list(leftovers(cluster)):
        if cluster.delete(version, kind, name):
            swept.append(f"{kind.lower()}/{name} of run {run}")
    return swept


def still_there(cluster: Cluster, labels: Mapping[str, str]) -> list[str]:
    """Objects with these labels that are there, as ``pod/x``. Raises ClusterError."""
    return [f"{kind.lower()}/{one['metadata']['name']}" for _, kind, one in _all(cluster, labels)]


def delete_all(cluster: Cluster, labels: Mapping[str, str]) -> None:
    """Delete the objects with these labels that a run made itself; what Kubernetes made of them goes with them.

    Raises ClusterError.
    """
    for version, kind, one in list(_all(cluster, labels)):
        owners = [owner["name"] for owner in one["metadata"].get("ownerReferences", ())]
        if not owners or anchor_name(one["metadata"]["labels"][RUN]) in owners:
            cluster.delete(version, kind, one["metadata"]["name"])


def _all(cluster: Cluster, labels: Mapping[str, str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(apiVersion, kind, object) of all objects with these labels that we may see."""
    for version, kind in KINDS:
        try:
            found = cluster.objects(version, kind, labels)
        except ClusterError as error:
            if error.status in (403, 404, 405):  # a kind that the cluster has not, or that we may not see
                continue
            raise
        yield from ((version, kind, one) for one in found)


def verify_gone(cluster: Cluster, labels: Mapping[str, str], seconds: float) -> None:
    """Return once nothing with these labels is there. Raises StandupError after so many seconds: a leak is an error."""
    deadline = time.monotonic() + seconds
    while left := still_there(cluster, labels):
        if time.monotonic() > deadline:
            raise StandupError(f"still there after {seconds:.0f} s: {', '.join(left)}")
        time.sleep(0.3)


def end_loads(cluster: Cluster, run: str, stack: str) -> None:
    """End the loads that somebody who is gone left on a stack: two loads on one spoil both. Raises as verify_gone."""
    labels = {**of_stack(run, stack), ROLE: "load"}
    left = cluster.objects("batch/v1", "Job", labels)
    for one in left:
        cluster.delete("batch/v1", "Job", one["metadata"]["name"])
    if left:
        verify_gone(cluster, labels, 60)


def of_stack(run: str, stack: str) -> dict[str, str]:
    """Labels of everything that a stack has."""
    return {**OURS, RUN: run, STACK: stack}


def _until(lease: Mapping[str, Any]) -> datetime | None:
    if "renewTime" not in lease:
        return None
    renewed = datetime.fromisoformat(str(lease["renewTime"]).replace("Z", "+00:00"))
    return datetime.fromtimestamp(renewed.timestamp() + float(lease.get("leaseDurationSeconds", 0)), UTC)
