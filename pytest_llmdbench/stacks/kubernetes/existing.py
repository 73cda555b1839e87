"""A service or pod that is there already, found by the beginning of its name; reached from inside or through a port."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.results.server_metrics.scraped import Look, Target
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.anchor import Anchor
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.existing_choice import choose, pod_port, service_port, serving, target_port
from pytest_llmdbench.stacks.kubernetes.kept import end_loads
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.names import Names, slug
from pytest_llmdbench.stacks.kubernetes.preflight import RIGHTS, missing_rights
from pytest_llmdbench.stacks.kubernetes.scrape import InsideLook
from pytest_llmdbench.stacks.kubernetes.scrape_targets import ScrapeTarget, alive, nodes_of, of_pod
from pytest_llmdbench.stacks.kubernetes.session import KubernetesSession
from pytest_llmdbench.stacks.kubernetes.streams import Forward
from pytest_llmdbench.stacks.kubernetes.vantage import Answer, Ask, ask
from pytest_llmdbench.stacks.scrape_http import from_here

#: What servers are that somebody else deployed.
ROLE: Final = "server"


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
        self._vantage = ""
        self._forward: Forward | None = None
        self._forwarded = ""
        self.inside = scenario.load_in_cluster
        try:
            self._cluster: Cluster = session.cluster(scenario, say)
            self._kind, self._name, self._port = "url", "", 0
            self._thing: Mapping[str, Any] = {}
            if scenario.endpoint.stack is not None:
                self._find(scenario.endpoint.stack, scenario.endpoint.port)
        except (ClusterError, StandupError) as error:
            raise StandupError(f"stack {key}: {error}") from error

    @property
    def url(self) -> str:
        """Where it answers, seen from inside the cluster."""
        if self._kind == "url":
            return str(self._scenario.endpoint.url).rstrip("/").removesuffix("/v1")
        if self._kind == "service":
            return f"http://{self._name}.{self._cluster.namespace}.svc:{self._port}"
        address = self._thing["status"]["podIP"]
        return f"http://{f'[{address}]' if ':' in address else address}:{self._port}"

    @property
    def facts(self) -> dict[str, Any]:
        """What is stored with every result."""
        return {"found": f"{self._kind}/{self._name}" if self._name else "url", "namespace": self._cluster.namespace}

    def ask(self, questions: Sequence[Ask]) -> list[Answer]:
        """Answers as the load would get them. Raises StandupError."""
        deadline = time.monotonic() + self._scenario.standup_s
        try:
            missing = missing_rights(self._cluster, RIGHTS)
            if missing is not None:
                raise StandupError(f"stack {self._key}: {missing}")
            self._anchor = self._session.join(self._cluster, self._scenario, self._say)
            self._vantage = self._anchor.pod(deadline, self._say, self._interrupted)
            return ask(self._cluster, self._vantage, questions)
        except ClusterError as error:
            raise StandupError(f"stack {self._key}: {error}") from error

    def forward(self) -> str:
        """Its URL on this machine, through a port of its pod. Raises StandupError."""
        try:
            pod, port = self._pod_and_port()
        except (ClusterError, StandupError) as error:
            raise StandupError(f"stack {self._key}: {error}") from error
        self._forward, self._forwarded = Forward(self._cluster, pod, port), pod
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

    def look(self) -> Look:
        """How the metrics of all pods behind it are read, or those that its URL offers."""
        if self._forward is not None:
            return from_here([Target(self._forwarded, ROLE, f"{self._forward.url}/metrics", self._forwarded)])
        return InsideLook(self._cluster, self._vantage, self._targets)

    def _targets(self, cluster: Cluster) -> tuple[list[ScrapeTarget], frozenset[str]]:
        if self._kind == "url":
            return [(Target("endpoint", ROLE, f"{self.url}/metrics"), None)], frozenset()
        service = self._thing if self._kind == "service" else None
        if service is None:
            pods = cluster.objects("v1", "Pod", field=f"metadata.name={self._name}")
        else:
            selector = service["spec"].get("selector")
            pods = cluster.objects("v1", "Pod", selector) if selector else []
        found = []
        for pod in filter(alive, pods):
            port = target_port(service, service_port(service, self._port), pod) if service else self._port
            found.append(of_pod(pod, ROLE, port))
        return found, nodes_of(pods)

    def end_loads(self) -> None:
        """End what somebody who is gone still sends. Raises ClusterError, StandupError."""
        if self._anchor is not None:
            end_loads(self._cluster, self._session.run, slug(self._key))

    def close(self) -> None:
        """Give back the anchor and the port."""
        if self._forward is not None:
            self._forward.close()
        if self._anchor is not None:
            self.end_loads()
            self._session.leave(self._cluster, keep=False)

    def _find(self, wanted: str, port: int | None) -> None:
        """A service or pod of that name, or that begins so."""
        services, pods = (self._cluster.objects("v1", kind) for kind in ("Service", "Pod"))
        self._thing = thing = choose(wanted, services, pods, self._cluster.namespace)
        self._name = thing["metadata"]["name"]
        self._kind = "service" if any(one is thing for one in services) else "pod"
        self._port = service_port(thing, port)["port"] if self._kind == "service" else pod_port(thing, port)

    def _pod_and_port(self) -> tuple[str, int]:
        """A pod behind it, and the pod's own port."""
        if self._kind == "pod":
            return self._name, self._port
        service = self._thing
        selector = service["spec"].get("selector")
        pod = serving(self._cluster.objects("v1", "Pod", selector)) if selector else None
        if pod is None:
            raise StandupError(f"service {self._name} has no running pod behind it")
        return str(pod["metadata"]["name"]), target_port(service, service_port(service, self._port), pod)
