"""Which metrics the pods of a stack offer, and where. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.results.server_metrics.scraped import Target
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered
from pytest_llmdbench.stacks.kubernetes.router_values import METRICS_PORT, PICKER
from pytest_llmdbench.stacks.kubernetes.trouble import containers

#: A target with how often the containers of its pod were restarted so far; None where it has no pod.
ScrapeTarget = tuple[Target, int | None]
#: The port of a picker's metrics where its pod does not name it.
_PICKER_PORT: Final = 9090
#: The role of the picker that the load goes through; those of further models have another.
_PICKER_ROLE: Final = "picker"


def targets_of(rendered: Rendered, pods: Sequence[Mapping[str, Any]]) -> list[ScrapeTarget]:
    """The engines that take the load, and their endpoint picker, among the stack's pods."""
    found = []
    for expected in rendered.expected:
        picker = expected.container == PICKER and expected.role == _PICKER_ROLE
        port = rendered.engine_ports.get(expected.role)
        for pod in pods if picker or port else ():
            labels = pod["metadata"].get("labels") or {}
            if alive(pod) and expected.selector.items() <= labels.items():
                found.append(of_pod(pod, expected.role, port or named_port(pod, METRICS_PORT, _PICKER_PORT)))
    return found


def nodes_of(pods: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The nodes that pods run on."""
    return frozenset(pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName"))


def of_pod(pod: Mapping[str, Any], role: str, port: int) -> ScrapeTarget:
    """The metrics that a pod offers at a port."""
    name, address = pod["metadata"]["name"], pod["status"]["podIP"]
    host = f"[{address}]" if ":" in address else address
    restarts = sum(int(one.get("restartCount", 0)) for _, one in containers(pod))
    return Target(name, role, f"http://{host}:{port}/metrics", name), restarts


def alive(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has an address and is not about to go."""
    return bool((pod.get("status") or {}).get("podIP")) and not pod["metadata"].get("deletionTimestamp")


def named_port(pod: Mapping[str, Any], name: str, default: int) -> int:
    """The port of a pod that has this name."""
    ports = (port for box in pod["spec"].get("containers") or () for port in box.get("ports") or ())
    return next((int(port["containerPort"]) for port in ports if port.get("name") == name), default)
