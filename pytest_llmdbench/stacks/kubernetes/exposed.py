"""What shows a stack to others, where the cluster knows the kind: to Prometheus' operator, outside of OpenShift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.names import Names


def pod_monitor(scenario: Scenario, names: Names, part: str, selector: Mapping[str, str], port: str) -> dict[str, Any]:
    """Has the pods of a part scraped at their port of this name."""
    endpoint = {"port": port, "path": "/metrics", "interval": f"{scenario.expose.scrape_s}s"}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": names.metadata(part),
        "spec": {"selector": {"matchLabels": dict(selector)}, "podMetricsEndpoints": [endpoint]},
    }


def openshift_route(names: Names, service: str, port: str | int) -> dict[str, Any]:
    """A host name of the cluster's own for a service; TLS ends at OpenShift's router."""
    return {
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": names.metadata("server"),
        "spec": {
            "to": {"kind": "Service", "name": service},
            "port": {"targetPort": port},
            "tls": {"termination": "edge"},
        },
    }
