"""``deploy: standalone``: a Deployment of the engine and a Service in front of it. Pure."""

from __future__ import annotations

from typing import Any, Final

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes import podspec
from pytest_llmdbench.stacks.kubernetes.exposed import openshift_route, pod_monitor
from pytest_llmdbench.stacks.kubernetes.extra import extra_manifests, is_scaled
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.rendered import Expected, Needs, Rendered
from pytest_llmdbench.stacks.kubernetes.storage import claim, download

ROLE: Final = "server"
PORT: Final = 80


def render(scenario: Scenario, names: Names) -> Rendered:
    """All objects of the stack. Raises DeclarationError for a template in ``manifests`` that cannot be meant."""
    pods, port = scenario.role("pods"), scenario.engine.port
    container = podspec.container(scenario, pods, port)
    selector = names.selector(ROLE)
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": names.metadata("server"),
        "spec": {
            "replicas": pods.replicas,
            "revisionHistoryLimit": 0,
            # GPUs are rarely there twice.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {
                    "labels": {**pods.labels, **names.labels, **selector},
                    **({"annotations": dict(pods.annotations)} if pods.annotations else {}),
                },
                "spec": {
                    **podspec.around(scenario, pods),
                    "automountServiceAccountToken": False,
                    "containers": [container],
                    "volumes": podspec.volumes(scenario, pods, names),
                },
            },
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata("server"),
        "spec": {
            "selector": selector,
            "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP"}],
        },
    }
    hub = scenario.huggingface
    return Rendered(
        first=tuple(download(scenario, names)),
        kept=tuple(claim(scenario, names)),
        manifests=(
            *podspec.simulator_settings(scenario, names),
            deployment,
            service,
            *extra_manifests(scenario, names, service=names.name("server")),
        ),
        optional=tuple(_around(scenario, names)),
        releases=(),
        expected=(
            Expected(
                ROLE,
                selector,
                pods.replicas,
                podspec.CONTAINER,
                podspec.flags_of(container["args"]),
                podspec.gpus(scenario, pods),
                is_scaled(scenario),
            ),
        ),
        service=names.name("server"),
        port=PORT,
        needs=Needs(
            secrets=((hub.secret, hub.key),) if hub.required else (),
            storage_class=scenario.storage.storage_class if scenario.storage.pvc else None,
        ),
        engine_ports={ROLE: port},
    )


def _around(scenario: Scenario, names: Names) -> list[dict[str, Any]]:
    """What is made only where the cluster knows the kind."""
    made: list[dict[str, Any]] = []
    if scenario.expose.pod_monitor:
        made.append(pod_monitor(scenario, names, "server", names.selector(ROLE), "http"))
    if scenario.expose.openshift_route:
        made.append(openshift_route(names, names.name("server"), "http"))
    return made
