"""What ``endpoint.stack`` and ``endpoint.port`` mean, against a fake cluster: lists of services and pods, no more."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.existing import Found

Things = Sequence[Mapping[str, Any]]


class FakeCluster:
    """A fake cluster: it lists what it was made with."""

    context, namespace = None, "team"

    def __init__(self, services: Things, pods: Things) -> None:
        self._things = {"Service": services, "Pod": pods}

    def objects(self, _: str, kind: str, labels: Mapping[str, str] | None = None) -> list[Mapping[str, Any]]:
        wanted = (labels or {}).items()
        return [one for one in self._things[kind] if wanted <= one["metadata"].get("labels", {}).items()]


class FakeSession:
    """As much of a session as looking needs."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def cluster(self, *_: object) -> FakeCluster:
        return self._cluster


def service(name: str, *ports: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"selector": {"app": "vllm"}}
    return {"metadata": {"name": name}, "spec": spec | ({"ports": list(ports)} if ports else {})}


def pod(
    name: str, *ports: Mapping[str, Any], ready: bool = True, ending: bool = False, phase: str = "Running",
    address: str = "10.0.0.7",
) -> dict[str, Any]:  # fmt: skip
    metadata: dict[str, Any] = {"name": name, "labels": {"app": "vllm"}}
    if ending:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    box = {"name": "vllm"} | ({"ports": list(ports)} if ports else {})
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": phase, "podIP": address, "conditions": conditions}
    return {"metadata": metadata, "spec": {"containers": [box]}, "status": status}


def found(wanted: str, services: Things = (), pods: Things = (), port: int | None = None) -> Any:
    """What is found; ``Any``, as tests look at how it would be forwarded without a cluster to forward from."""
    scenario = Scenario.model_validate({"deploy": "endpoint", "endpoint": {"stack": wanted, "port": port}})
    session: Any = FakeSession(FakeCluster(services, pods))
    return Found("mine", scenario, session, lambda _: None, threading.Event())


HTTP = {"port": 80, "name": "http", "targetPort": "web"}
PLAIN = {"port": 8000}
WEB = {"name": "web", "containerPort": 8200}


def test_a_service_is_found_by_the_only_name_that_begins_so_with_its_first_port() -> None:
    one = found("vl", [service("other", PLAIN), service("vllm", HTTP, PLAIN)])
    assert one.url == "http://vllm.team.svc:80"
    assert found("vllm", [service("vllm", HTTP, PLAIN)], port=8000).url == "http://vllm.team.svc:8000"


def test_a_beginning_that_fits_several_services_is_refused_with_their_names() -> None:
    with pytest.raises(StandupError, match=r"stack mine: several services .*begin with vl: vllm-a, vllm-b; say the"):
        found("vl", [service("vllm-b", PLAIN), service("vllm-a", PLAIN)])


def test_an_exact_name_wins_over_all_that_begin_so() -> None:
    services = [service("vllm-a", PLAIN), service("vllm", PLAIN), service("vllm-b", PLAIN)]
    assert found("vllm", services).facts["found"] == "service/vllm"
    assert found("vllm", [services[0], services[2]], [pod("vllm", PLAIN | WEB)]).facts["found"] == "pod/vllm"


@pytest.mark.parametrize("services", [[], [service("other", PLAIN)]])
def test_a_name_that_nothing_has_is_an_error(services: Things) -> None:
    with pytest.raises(StandupError, match=r"stack mine: no service and no running pod .*called vllm; there is"):
        found("vllm", services)


def test_a_port_that_a_service_does_not_have_is_an_error_with_those_it_has() -> None:
    with pytest.raises(StandupError, match=r"stack mine: service vllm has no port 9 .*it has 80 \(http\), 8000$"):
        found("vllm", [service("vllm", HTTP, PLAIN)], port=9)


@pytest.mark.parametrize("port", [None, 80])
def test_a_service_without_ports_is_an_error_with_the_way_out(port: int | None) -> None:
    with pytest.raises(StandupError, match=r"stack mine: service vllm has no ports: name another one, or a pod"):
        found("vllm", [service("vllm")], port=port)


def test_of_several_pods_one_that_is_ready_and_stays_is_taken() -> None:
    pods = [
        pod("vllm-a", WEB, ending=True),
        pod("vllm-b", WEB, ready=False),
        pod("vllm-c", WEB, phase="Pending"),
        pod("vllm-d", WEB),
    ]
    assert found("vllm", pods=pods).facts["found"] == "pod/vllm-d"
    assert found("vllm", pods=pods[:3]).facts["found"] == "pod/vllm-b"
    assert found("svc", [service("svc", HTTP)], pods)._pod_and_port() == ("vllm-d", 8200)
    with pytest.raises(StandupError, match="no running pod"):
        found("vllm", pods=[pods[0], pods[2]])


def test_a_pod_is_reached_at_its_address_with_the_port_that_is_said_or_its_first() -> None:
    assert found("vllm", pods=[pod("vllm-a", WEB)]).url == "http://10.0.0.7:8200"
    assert found("vllm", pods=[pod("vllm-a")], port=9).url == "http://10.0.0.7:9"
    assert found("vllm", pods=[pod("vllm-a", WEB, address="fd00::7")]).url == "http://[fd00::7]:8200"
    with pytest.raises(StandupError, match=r"stack mine: pod vllm-a names no port: say endpoint\.port"):
        found("vllm", pods=[pod("vllm-a")])


@pytest.mark.parametrize(
    ("port", "inside"),
    [(HTTP, 8200), (PLAIN, 8000), (PLAIN | {"targetPort": 8100}, 8100), (PLAIN | {"targetPort": "81"}, 81)],
)
def test_a_forward_goes_to_the_pods_own_port(port: Mapping[str, Any], inside: int) -> None:
    assert found("vllm", [service("vllm", port)], [pod("p", WEB)])._pod_and_port() == ("p", inside)


@pytest.mark.parametrize(("ports", "known"), [([], "none"), ([{"name": "api", "containerPort": 1}], r"1 \(api\)")])
def test_a_forward_to_a_named_port_that_the_pod_does_not_have_is_an_error(ports: Things, known: str) -> None:
    with pytest.raises(StandupError, match=rf"stack mine: .*port 'web' .*pod p names none so; it has {known}"):
        found("vllm", [service("vllm", HTTP)], [pod("p", *ports)]).forward()


def test_a_forward_to_a_service_with_nothing_behind_it_is_an_error() -> None:
    with pytest.raises(StandupError, match="stack mine: service vllm has no running pod behind it"):
        found("vllm", [service("vllm", HTTP)], [pod("p", WEB, phase="Pending")]).forward()
    external = service("vllm", HTTP)
    del external["spec"]["selector"]
    with pytest.raises(StandupError, match="stack mine: service vllm has no running pod behind it"):
        found("vllm", [external], [pod("p", WEB)]).forward()
