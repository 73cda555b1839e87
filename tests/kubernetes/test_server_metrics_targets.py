"""Which pods' metrics are read, and at which port: by lists of pods, of a fake cluster where one is asked."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.cluster import ClusterError
from pytest_llmdbench.stacks.kubernetes.existing import Found
from pytest_llmdbench.stacks.kubernetes.exporters import exporters
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.rendered import Expected, Rendered
from pytest_llmdbench.stacks.kubernetes.scrape_targets import nodes_of, targets_of
from pytest_llmdbench.stacks.kubernetes.ways import render

NAMES = Names("x7k2m9", "stack", "bench")


def pod(
    name: str, labels: Mapping[str, str], address: str = "10.0.0.7", *, node: str = "n1", restarts: int = 0,
    port: tuple[str, int] | None = None, ending: bool = False, namespace: str = "bench",
) -> dict[str, Any]:  # fmt: skip
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}", "labels": labels, "namespace": namespace}
    metadata |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if ending else {}
    ports = [{"name": port[0], "containerPort": port[1]}] if port else []
    status = {"phase": "Running", "podIP": address, "containerStatuses": [{"name": "a", "restartCount": restarts}]}
    return {
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": [{"name": "a", "ports": ports}]},
        "status": status,
    }


def stack(*expected: Expected, ports: Mapping[str, int]) -> Rendered:
    return Rendered((), (), (), (), (), expected, "s", 80, engine_ports=ports)


def test_engines_and_their_picker_are_read_each_at_its_own_port() -> None:
    roles = {role: {"stack": "s", "role": role} for role in ("decode", "prefill", "picker")}
    rendered = stack(
        Expected("decode", roles["decode"], 1, "vllm"), Expected("prefill", roles["prefill"], 1, "vllm"),
        Expected("picker", roles["picker"], 1, "epp"), ports={"decode": 8200, "prefill": 8000},
    )  # fmt: skip
    pods = [
        pod("d", roles["decode"], restarts=2),
        pod("d-old", roles["decode"], ending=True),
        pod("p", roles["prefill"], "fd00::5"),
        pod("e", roles["picker"], port=("metrics", 9191)),
        pod("x", {"stack": "s", "role": "gateway"}),
    ]
    found = [(one.label, one.role, one.pod, one.url, restarts) for one, restarts in targets_of(rendered, pods)]
    assert found == [
        ("d", "decode", "d", "http://10.0.0.7:8200/metrics", 2),
        ("p", "prefill", "p", "http://[fd00::5]:8000/metrics", 0),
        ("e", "picker", "e", "http://10.0.0.7:9191/metrics", 0),
    ]


def test_a_picker_that_names_no_port_is_read_at_the_usual_one() -> None:
    rendered = stack(Expected("picker", {"a": "b"}, 1, "epp"), ports={})
    ((target, _),) = targets_of(rendered, [pod("e", {"a": "b"})])
    assert target.url == "http://10.0.0.7:9090/metrics"


def test_further_models_take_no_load_and_are_not_read() -> None:
    further = (Expected("small-decode", {"m": "small"}, 1, "vllm"), Expected("small-picker", {"m": "e"}, 1, "epp"))
    rendered = stack(*further, ports={"decode": 8000})
    assert targets_of(rendered, [pod("a", {"m": "small"}), pod("b", {"m": "e"})]) == []


def test_a_rendered_stacks_own_pods_are_found() -> None:
    scenario = {"deploy": "standalone", "engine": {"kind": "simulator", "image": "i"}, "load": {"image": "h"}}
    rendered = render(Scenario.model_validate(scenario), NAMES)
    (expected,) = rendered.expected
    ((target, _),) = targets_of(rendered, [pod("s-0", expected.selector)])
    assert (target.role, target.url) == (
        expected.role,
        f"http://10.0.0.7:{rendered.engine_ports[expected.role]}/metrics",
    )


class FakeCluster:
    """A fake cluster: it lists the pods and services it was made with; ``may``: also those of other namespaces."""

    context, namespace = None, "bench"

    def __init__(
        self, pods: Sequence[Mapping[str, Any]], services: Sequence[Mapping[str, Any]] = (), *, may: bool = True
    ):
        self._things = {"Pod": pods, "Service": services}
        self._may = may

    def objects(
        self, _: str, kind: str, labels: Mapping[str, str] | None = None, *, everywhere: bool = False,
        field: str | None = None,
    ) -> list[Mapping[str, Any]]:  # fmt: skip
        if everywhere and not self._may:
            raise ClusterError("could not list Pods: forbidden", 403)
        wanted, name = (labels or {}).items(), (field or "").removeprefix("metadata.name=")
        return [
            one for one in self._things[kind]
            if wanted <= one["metadata"].get("labels", {}).items()
            and (everywhere or one["metadata"].get("namespace", "bench") == self.namespace)
            and name in ("", one["metadata"]["name"])
        ]  # fmt: skip


DCGM = [
    pod("op", {"app": "nvidia-dcgm-exporter"}, "10.0.1.1", node="n1", namespace="gpu-operator"),
    pod("chart", {"app.kubernetes.io/name": "dcgm-exporter"}, "10.0.1.2", node="n2", port=("metrics", 9401)),
    pod("gke", {"app.kubernetes.io/name": "gke-managed-dcgm-exporter"}, "10.0.1.3", node="n3", namespace="gke"),
    pod("elsewhere", {"app": "nvidia-dcgm-exporter"}, "10.0.1.4", node="n9", namespace="gpu-operator"),
]


def test_exporters_are_read_on_the_nodes_of_the_stack_in_whichever_namespace_they_are() -> None:
    cluster: Any = FakeCluster(DCGM)
    found = [(one.label, one.role, one.url) for one in exporters(cluster, nodes_of(DCGM[:3]))]
    assert found == [
        ("GPUs of n1", "gpu", "http://10.0.1.1:9400/metrics"),
        ("GPUs of n2", "gpu", "http://10.0.1.2:9401/metrics"),
        ("GPUs of n3", "gpu", "http://10.0.1.3:9400/metrics"),
    ]


def test_without_the_right_to_look_elsewhere_only_our_own_namespace_is_looked_through() -> None:
    cluster: Any = FakeCluster(DCGM, may=False)
    assert [one.label for one in exporters(cluster, frozenset({"n1", "n2", "n3"}))] == ["GPUs of n2"]


def existing(wanted: str, cluster: FakeCluster, port: int | None = None) -> list[tuple[str, str | None, str]]:
    """What is read of something that is there already."""
    scenario = Scenario.model_validate(
        {"deploy": "endpoint", "endpoint": {"stack": wanted, "port": port}, "load": {"image": "h"}}
    )

    class FakeSession:
        """As much of a session as looking needs."""

        def cluster(self, *_: object) -> FakeCluster:
            return cluster

    session: Any = FakeSession()
    anybody: Any = cluster
    found, nodes = Found("mine", scenario, session, lambda _: None, threading.Event())._targets(anybody)
    assert nodes == frozenset({"n1"})
    return [(target.label, target.pod, target.url) for target, _ in found]


def test_of_a_service_that_is_there_every_pod_is_read() -> None:
    pods = [pod(name, {"app": "vllm"}, f"10.0.0.{n}", port=("web", 8200)) for n, name in enumerate("ab", 1)]
    service = {
        "metadata": {"name": "vllm"},
        "spec": {"selector": {"app": "vllm"}, "ports": [{"port": 80, "targetPort": "web"}]},
    }
    assert existing("vllm", FakeCluster([*pods, pod("other", {})], [service])) == [
        ("a", "a", "http://10.0.0.1:8200/metrics"),
        ("b", "b", "http://10.0.0.2:8200/metrics"),
    ]


@pytest.mark.parametrize(("port", "read"), [(None, 8000), (9000, 9000)])
def test_of_a_pod_that_is_there_the_port_of_the_load_is_read(port: int | None, read: int) -> None:
    cluster = FakeCluster([pod("vllm-0", {}, port=("http", 8000)), pod("vllm-1", {})])
    assert existing("vllm-0", cluster, port) == [("vllm-0", "vllm-0", f"http://10.0.0.7:{read}/metrics")]
