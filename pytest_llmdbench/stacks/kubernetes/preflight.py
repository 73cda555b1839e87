"""Before anything is created: can this cluster hold this stack, and may we make it. Every failure says the way out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.capacity.engines import Role, name_of, roles
from pytest_llmdbench.capacity.preflight import check_scenario
from pytest_llmdbench.capacity.products import Product, is_unnamed
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError, counted
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.gpus import Room, common_product, fits, rooms
from pytest_llmdbench.stacks.kubernetes.helm import Helm
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered

#: Seconds between two looks at the GPUs, and between two lines about them.
LOOK_S: Final = 3.0
SAY_S: Final = 30.0

#: What a run does in its namespace whatever it deploys: verb, API group, resource.
RIGHTS: Final = (
    *((verb, "batch", "jobs") for verb in ("get", "list", "create", "patch", "delete")),
    *((verb, "", "pods") for verb in ("list", "watch", "patch")),
    ("get", "", "pods/log"),
    # The question is asked by GET, and older clusters want the other.
    ("get", "", "pods/exec"),
    ("create", "", "pods/exec"),
    ("list", "", "events"),
    *((verb, "", "configmaps") for verb in ("list", "create", "patch", "delete")),
    *((verb, "coordination.k8s.io", "leases") for verb in ("list", "create", "patch")),
)


@dataclass(frozen=True, slots=True)
class Preflight:
    """The checks of one stack. ``wait_for_gpus``: wait in place of failing while GPUs are taken."""

    cluster: Cluster
    scenario: Scenario
    rendered: Rendered
    say: Say
    interrupted: threading.Event
    wait_for_gpus: bool = False

    def check(self, key: str) -> None:
        """Raise StandupError with everything that is wrong, each with what to do about it; or return."""
        try:
            self.cluster.version()
            self._namespace()
            problems = [*self._load(), *self._rights(), *self._kinds(), *self._secrets(), *self._storage()]
            problems += [*self._memory(), *self._gpus(key)]
        except ClusterError as error:
            raise StandupError(f"stack {key}: {error}") from error
        if problems:
            listed = "".join(f"\n  - {problem}" for problem in problems)
            where = f"namespace {self.cluster.namespace}"
            raise StandupError(f"stack {key} cannot be stood up in {where}; nothing was created:{listed}")

    def _namespace(self) -> None:
        name = self.cluster.namespace
        try:
            if self.cluster.get("v1", "Namespace", name) is not None:
                return
        except ClusterError as error:
            if error.status == 403:  # whoever may not look lives in a namespace that is there
                return
            raise
        if not self.scenario.cluster.create_namespace:
            raise StandupError(
                f"there is no namespace {name}: create it (kubectl create namespace {name}), name another with "
                "cluster.namespace, or set cluster.create_namespace: true"
            )
        self.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.say(f"namespace {name} created; it stays")

    def _load(self) -> Iterator[str]:
        if self.rendered.releases:
            Helm.find()
        if not self.scenario.load_in_cluster:
            yield (
                "load.where is 'here', and this machine does not reach a stack inside the cluster: leave load.where at "
                "'auto', or expose the stack and benchmark it with --llmd-endpoint URL"
            )
        if self.scenario.load.image is None:
            yield (
                "load.image is not set: it names the image of the load programs, which also holds the run's anchor. "
                "Build it with 'make image-build image-push IMAGE_REGISTRY=...' and set it once, as an ini key: "
                "llmd_set = load.image=REGISTRY/harness:VERSION"
            )

    def _rights(self) -> Iterator[str]:
        made = dict.fromkeys(
            (one["apiVersion"], one["kind"]) for one in (*self.rendered.first, *self.rendered.manifests)
        )
        known = [one for one in made if self.cluster.knows(*one)]
        kinds = [(version.rpartition("/")[0], self.cluster.plural(version, kind)) for version, kind in known]
        wanted = [*RIGHTS, *((verb, *kind) for kind in kinds for verb in ("create", "patch", "delete", "list"))]
        if self.rendered.kept:
            wanted += [(verb, "", "persistentvolumeclaims") for verb in ("get", "create")]
        if self.rendered.releases:
            wanted += [(verb, "", "secrets") for verb in ("create", "list", "update", "patch", "delete")]
        missing = missing_rights(self.cluster, wanted)
        if missing:
            yield missing

    def _kinds(self) -> Iterator[str]:
        for version, kind, brought_by in self.rendered.needs.kinds:
            if not self.cluster.knows(version, kind):
                yield f"the cluster knows no {kind} ({version}): it comes with {brought_by}"
        for manifest in self.rendered.manifests:
            version, kind = manifest["apiVersion"], manifest["kind"]
            if not self.cluster.knows(version, kind):
                yield f"the cluster knows no {kind} ({version}), which the scenario's manifests ask for"

    def _secrets(self) -> Iterator[str]:
        namespace = self.cluster.namespace
        pulls = ((name, "") for name in self.scenario.cluster.image_pull_secrets)
        for name, key in (*self.rendered.needs.secrets, *pulls):
            try:
                there = self.cluster.exists("v1", "Secret", name)
            except ClusterError as error:
                if error.status == 403:  # the pod that needs it will say
                    continue
                raise
            if not there:
                literal = f" --from-literal={key}=..." if key else ""
                yield f"there is no Secret {name}: kubectl -n {namespace} create secret generic {name}{literal}"

    def _storage(self) -> Iterator[str]:
        claim = self.scenario.storage.pvc
        if claim is None or self.cluster.get("v1", "PersistentVolumeClaim", claim) is not None:
            return
        wanted = self.rendered.needs.storage_class
        try:
            classes = self.cluster.objects("storage.k8s.io/v1", "StorageClass")
        except ClusterError as error:
            if error.status == 403:
                return
            raise
        names = ", ".join(one["metadata"]["name"] for one in classes) or "none"
        default = "storageclass.kubernetes.io/is-default-class"
        if wanted and not any(one["metadata"]["name"] == wanted for one in classes):
            yield (
                f"the claim {claim} cannot be made: no storage class {wanted}; there are: {names} "
                "(storage.storage_class)"
            )
        if wanted is None and not any(
            (one["metadata"].get("annotations") or {}).get(default) == "true" for one in classes
        ):
            yield (
                f"the claim {claim} cannot be made: the cluster has no default storage class; name one of: {names} "
                "(storage.storage_class), or make the claim yourself"
            )

    def _memory(self) -> list[str]:
        """Engines that will not start on their GPUs, where both are known."""
        return [found.text for found in check_scenario(self.scenario, self._products()) if found.fatal]

    def _products(self) -> dict[Role, Product]:
        """The GPU of each role where the scenario names none, and all nodes that could hold its pods have the same."""
        accelerator = self.scenario.accelerator
        if self.scenario.engine.kind != "vllm" or not is_unnamed(accelerator):
            return {}
        try:
            nodes = self.cluster.objects("v1", "Node")
        except ClusterError as error:
            if error.status == 403:
                return {}
            raise
        sizes = {pods.role: pods.gpus for pods in self.rendered.expected}
        found = {
            role: common_product(nodes, accelerator, self.scenario.role(role).node_selector, size)
            for role in roles(self.scenario)
            if (size := sizes.get(name_of(role)))
        }
        return {role: product for role, product in found.items() if product}

    def _gpus(self, key: str) -> list[str]:
        sizes = [pods.gpus for pods in self.rendered.expected for _ in range(pods.count) if pods.gpus]
        if not sizes:
            return []
        began = said = time.monotonic()
        while True:
            try:
                nodes = self.cluster.objects("v1", "Node")
                pods = self.cluster.objects("v1", "Pod", everywhere=True)
            except ClusterError as error:
                if error.status == 403:
                    self.say(f"stack {key}: no right to read nodes and all pods: whether GPUs are free is not checked")
                    return []
                raise
            found = self._rooms(nodes, pods)
            if fits(found, sizes):
                return []
            staying = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
            asked = f"{counted(sum(sizes), 'GPU')} ({', '.join(map(str, sizes))} a pod)"
            shown = _shown(found)
            if not fits(found, sizes, whole=True):
                wanted = f" with {self.scenario.accelerator.label}={self.scenario.accelerator.product}"
                product = wanted if self.scenario.accelerator.product else ""
                return [
                    f"{asked} are needed, and the nodes{product} could never hold that: {shown}. Ask for "
                    "fewer (replicas, parallelism, pods.gpus) or for others (accelerator.product, node_selector)"
                ]
            # What is being deleted already, an earlier stack of this run for one, is waited for in any case.
            if not self.wait_for_gpus and not fits(self._rooms(nodes, staying), sizes):
                return [f"{asked} are needed, and {shown}. Wait for them with --llmd-wait-for-gpus"]
            if time.monotonic() - said >= SAY_S or said == began:
                self.say(f"stack {key}: waiting for {asked} since {time.monotonic() - began:.0f} s; {shown}")
                said = time.monotonic()
            if self.interrupted.wait(LOOK_S):
                raise StandupError(f"stack {key}: the run ended while it waited for GPUs")

    def _rooms(self, nodes: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> list[Room]:
        return rooms(nodes, pods, self.scenario.accelerator, self.scenario.pods.node_selector)


def missing_rights(cluster: Cluster, wanted: Iterable[tuple[str, str, str]]) -> str | None:
    """Which rights are not there, and the way to them; None where all are. Raises ClusterError."""
    missing = [
        f"{verb} {resource}{'.' + group if group else ''}"
        for verb, group, resource in dict.fromkeys(wanted)
        if not cluster.may(verb, group, resource)
    ]
    if not missing:
        return None
    return (
        f"no right to {', '.join(missing)}; the Role in docs/kubernetes-rbac.yaml (for modelservice also the one in "
        "docs/kubernetes-rbac-modelservice.yaml) has all that is needed: ask an administrator to apply it"
    )


def _shown(found: list[Room]) -> str:
    if not found:
        return "there is no such node"
    shown = ", ".join(f"{room.node} has {room.free} of {room.total} free" for room in found[:6])
    return shown + (f", and {len(found) - 6} nodes more" if len(found) > 6 else "")
