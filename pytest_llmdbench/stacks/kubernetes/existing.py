"""A service or pod that is there already, found by the beginning of its name; reached from inside or through a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError, nearest
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.anchor import Anchor
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.names import Names, slug
from pytest_llmdbench.stacks.kubernetes.session import KubernetesSession
from pytest_llmdbench.stacks.kubernetes.streams import Forward
from pytest_llmdbench.stacks.kubernetes.vantage import Answer, Ask, ask


class Found:
    """What ``endpoint.stack`` (or ``endpoint.url`` with the load in the cluster) means in this cluster.

    ``inside`` says whether the load runs in the cluster; ``url`` is what it goes to there. Raises StandupError.
    """

    def __init__(
        self, key: str, scenario: Scenario, session: KubernetesSession, say: Say, interrupted: threading.Event
    ) -> None:
        self._key, self._scenario, self._session, self._say = key, scenario, session, say
        self._interrupted = interrupted
        self._anchor: Anchor | None = None
        self._forward: Forward | None = None
        self.inside = scenario.load_in_cluster
        try:
            self._cluster: Cluster = session.cluster(scenario, say)
            self._kind, self._name, self._port, self._pod = "url", "", 0, ""
            if scenario.endpoint.stack is not None:
                self._find(scenario.endpoint.stack, scenario.endpoint.port)
        except ClusterError as error:
            raise StandupError(f"stack {key}: {error}") from error

    @property
    def url(self) -> str:
        """Where it answers, seen from inside the cluster."""
        if self._kind == "url":
            return str(self._scenario.endpoint.url).rstrip("/").removesuffix("/v1")
        if self._kind == "service":
            return f"http://{self._name}.{self._cluster.namespace}.svc:{self._port}"
        return f"http://{self._pod}:{self._port}"

    @property
    def facts(self) -> dict[str, Any]:
        """What is stored with every result."""
        return {"found": f"{self._kind}/{self._name}" if self._name else "url", "namespace": self._cluster.namespace}

    def ask(self, questions: Sequence[Ask]) -> list[Answer]:
        """Answers as the load would get them. Raises StandupError."""
        deadline = time.monotonic() + self._scenario.standup_s
        try:
            self._anchor = self._session.join(self._cluster, self._scenario, self._say)
            pod = self._anchor.pod(deadline, self._say, self._interrupted)
            return ask(self._cluster, pod, questions)
        except ClusterError as error:
            raise StandupError(f"stack {self._key}: {error}") from error

    def forward(self) -> str:
        """Its URL on this machine, through a port of its pod. Raises StandupError."""
        try:
            pod, port = self._pod_and_port()
        except ClusterError as error:
            raise StandupError(f"stack {self._key}: {error}") from error
        self._forward = Forward(self._cluster, pod, port)
        self._say(
            f"stack {self._key}: {self._kind}/{self._name} through a port-forward to {pod}, which adds to every "
            "latency; with load.image set the load runs in the cluster"
        )
        return self._forward.url

    def site(self) -> Mapping[str, Any]:
        """Where its load runs in the cluster."""
        owner = self._anchor.owner if self._anchor else None
        names = Names(self._session.run, slug(self._key), self._cluster.namespace, owner)
        return LoadSite.of(self._scenario, self._cluster, names).to_json()

    def close(self) -> None:
        """Give back the anchor and the port."""
        if self._forward is not None:
            self._forward.close()
        if self._anchor is not None:
            self._session.leave(self._cluster, keep=False)

    def _find(self, wanted: str, port: int | None) -> None:
        """A service of that name, else one that begins with it, else a pod."""
        services = self._cluster.objects("v1", "Service")
        names = sorted(one["metadata"]["name"] for one in services)
        name = wanted if wanted in names else next((one for one in names if one.startswith(wanted)), None)
        if name is not None:
            service = next(one for one in services if one["metadata"]["name"] == name)
            ports = [one["port"] for one in service["spec"].get("ports", ())]
            self._kind, self._name, self._port = "service", name, port or ports[0]
            return
        pods = [one for one in self._cluster.objects("v1", "Pod") if one["metadata"]["name"].startswith(wanted)]
        running = [one for one in pods if one["status"].get("phase") == "Running"]
        if not running:
            known = [*names, *(one["metadata"]["name"] for one in pods)]
            hint = nearest(wanted, known) if known else "there is none at all"
            raise StandupError(
                f"stack {self._key}: no service and no running pod of namespace {self._cluster.namespace} is called "
                f"{wanted}; {hint}"
            )
        pod = running[0]
        open_ports = [one["containerPort"] for box in pod["spec"]["containers"] for one in box.get("ports", ())]
        if port is None and not open_ports:
            raise StandupError(f"stack {self._key}: pod {pod['metadata']['name']} names no port: say endpoint.port")
        self._kind, self._name = "pod", pod["metadata"]["name"]
        self._pod, self._port = pod["status"]["podIP"], port or open_ports[0]

    def _pod_and_port(self) -> tuple[str, int]:
        """A pod behind it, and the pod's own port."""
        if self._kind == "pod":
            return self._name, self._port
        service = self._cluster.get("v1", "Service", self._name) or {}
        selector = (service.get("spec") or {}).get("selector")
        pods = self._cluster.objects("v1", "Pod", selector) if selector else []
        running = [one for one in pods if one["status"].get("phase") == "Running"]
        if not running:
            raise StandupError(f"stack {self._key}: service {self._name} has no running pod behind it")
        target = next(one for one in service["spec"]["ports"] if one["port"] == self._port).get(
            "targetPort", self._port
        )
        if isinstance(target, str) and not target.isdecimal():
            boxes = running[0]["spec"]["containers"]
            named = {one.get("name"): one["containerPort"] for box in boxes for one in box.get("ports", ())}
            target = named[target]
        return str(running[0]["metadata"]["name"]), int(target)
