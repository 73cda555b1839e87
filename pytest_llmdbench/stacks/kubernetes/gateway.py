"""What is in front of pools and pods: the Gateway, its route, or a Service straight to the pods. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.modelservice_values import Served
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.rendered import Needs

#: Where Gateway and Service listen.
PORT: Final = 80
#: Scenario's word -> the infra chart's.
_PROVIDERS: Final = {"istio": "istio", "agentgateway": "agentgateway", "gke": "gke-l7-regional-external-managed"}
_POOLS: Final = "inference.networking.k8s.io"
_GATEWAYS: Final = "gateway.networking.k8s.io"
_GATEWAY_API: Final = "the Gateway API: https://gateway-api.sigs.k8s.io/guides/getting-started/"
_OF_PROVIDER: Final = {
    "istio": (
        ("networking.istio.io/v1beta1", "DestinationRule", "Istio: https://istio.io/latest/docs/setup/install/"),
    ),
    "agentgateway": (
        (
            "agentgateway.dev/v1alpha1",
            "AgentgatewayParameters",
            "agentgateway: https://agentgateway.dev/docs/kubernetes/",
        ),
    ),
    "gke": (
        ("networking.gke.io/v1", "GCPBackendPolicy", "GKE, in clusters with the Gateway API turned on"),
        ("networking.gke.io/v1", "HealthCheckPolicy", "GKE, in clusters with the Gateway API turned on"),
    ),
}
_POOL: Final = (
    f"{_POOLS}/v1",
    "InferencePool",
    "the CRDs of the Gateway API Inference Extension: https://gateway-api-inference-extension.sigs.k8s.io/guides/",
)
_LEADER_WORKER_SET: Final = (
    "leaderworkerset.x-k8s.io/v1",
    "LeaderWorkerSet",
    "the LeaderWorkerSet controller: https://lws.sigs.k8s.io/docs/installation/",
)


def infra_values(scenario: Scenario, names: Names) -> dict[str, Any]:
    """The values of the llm-d-infra chart: one Gateway, reached from inside the cluster only."""
    return {
        "commonLabels": names.labels,
        "gateway": {
            "fullnameOverride": names.name("gateway"),
            "provider": _PROVIDERS[scenario.router.gateway],
            "exposure": {"type": "internal"},
            # Its access log is a Telemetry of Istio's and a line for each request of the load.
            "gatewayParameters": {"istio": {"accessLogging": False}},
            "listeners": [
                {
                    "name": "default",
                    "port": PORT,
                    "protocol": "HTTP",
                    "allowedRoutes": {"namespaces": {"from": "Same"}},
                }
            ],
        },
    }


def gateway_service(scenario: Scenario, names: Names) -> str:
    """The Service that the provider makes for the Gateway; GKE makes none, its Gateway has an address instead."""
    return names.name("gateway-istio") if scenario.router.gateway == "istio" else names.name("gateway")


def route(scenario: Scenario, names: Names, served: Sequence[Served]) -> dict[str, Any]:
    """The HTTPRoute: the first model's at ``/``, each further one's under its own path."""
    return {
        "apiVersion": f"{_GATEWAYS}/v1",
        "kind": "HTTPRoute",
        "metadata": names.metadata("route"),
        "spec": {
            "parentRefs": [{"group": _GATEWAYS, "kind": "Gateway", "name": names.name("gateway")}],
            "rules": [_rule(scenario, one) for one in sorted(served, key=lambda one: one.name == "")],
        },
    }


def _rule(scenario: Scenario, served: Served) -> dict[str, Any]:
    made: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": f"/{served.name}"}}],
        "backendRefs": [{"group": _POOLS, "kind": "InferencePool", "name": served.router}],
    }
    if served.name:
        rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        made["filters"] = [{"type": "URLRewrite", "urlRewrite": rewrite}]
    if scenario.router.gateway != "gke":  # it knows no timeouts in routes
        made["timeouts"] = {"request": f"{scenario.router.request_timeout_s}s"}
    return made


def direct(names: Names, served: Served) -> dict[str, Any]:
    """A Service straight to the decode pods: the baseline that a picker is measured against."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": names.metadata("direct"),
        "spec": {
            "selector": served.selector(names, "decode"),
            "ports": [{"name": "http", "port": PORT, "targetPort": served.port, "protocol": "TCP"}],
        },
    }


def needs(scenario: Scenario, served: Sequence[Served]) -> Needs:
    """What must be there before any of this is made."""
    kinds: list[tuple[str, str, str]] = []
    gateway: Literal["epponly", "istio", "agentgateway", "gke", "none"] = scenario.router.gateway
    if gateway != "none":
        kinds.append(_POOL)
    if gateway in _PROVIDERS:
        kinds += [(f"{_GATEWAYS}/v1", kind, _GATEWAY_API) for kind in ("Gateway", "HTTPRoute")]
        kinds += _OF_PROVIDER[gateway]
    if any(pods.workers > 1 for one in served for pods in one.roles().values()):
        kinds.append(_LEADER_WORKER_SET)
    hub, storage = scenario.huggingface, scenario.storage
    return Needs(
        kinds=tuple(kinds),
        secrets=((hub.secret, hub.key),) if hub.required else (),
        storage_class=storage.storage_class if storage.pvc else None,
    )
