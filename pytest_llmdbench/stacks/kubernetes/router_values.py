"""The values of the router charts: the pool of pods and the endpoint picker in front of it. Pure."""

from __future__ import annotations

from typing import Any, Final

import yaml

from pytest_llmdbench.declared.router import Picker
from pytest_llmdbench.stacks.kubernetes.modelservice_values import Served
from pytest_llmdbench.stacks.kubernetes.names import RUN, STACK, Names

#: The picker's container.
PICKER: Final = "epp"
#: The picker's port for metrics, by the chart's name.
METRICS_PORT: Final = "metrics"
#: The file in the picker's ConfigMap that holds the scenario's plugins.
PLUGINS_FILE: Final = "llmdbench-plugins.yaml"
#: Where the chart mounts it.
PLUGINS_PATH: Final = f"/config/{PLUGINS_FILE}"
#: Where the proxy beside the picker listens, and where its Service does.
_PROXY_PORT: Final = 8081
SERVICE_PORT: Final = 80
_KIND: Final = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}


def router_values(served: Served, names: Names) -> dict[str, Any]:
    """The values of one model's router."""
    scenario, router = served.scenario, served.scenario.router
    made: dict[str, Any] = {
        "epp": _picker(served),
        "inferencePool": {"create": True, "failureMode": router.failure_mode},
        "modelServers": {
            "matchLabels": served.pool(names),
            "targetPorts": [{"number": served.port}],
            "protocol": "http",
        },
        # Asking who may read metrics takes a ClusterRole, which a run may neither make nor leave behind.
        "monitoring": {"prometheus": {"enabled": False, "auth": {"enabled": False}}},
        "latencyPredictor": {"enabled": router.latency_predictor},
        "tokenizer": {"enabled": router.tokenizer},
    }
    if router.tokenizer:
        made["tokenizer"] |= {"modelName": scenario.model.name, "env": [_token(served)]}
    if router.gateway == "epponly":
        made |= _proxy(served.router)
        return {"router": made}
    provider = {"istio": "istio", "gke": "gke"}.get(router.gateway, "none")
    return {"router": made, "provider": {"name": provider}, "httpRoute": {"create": False}}


def picker_service(served: Served) -> str:
    """The name that the chart gives the picker's Service and pods."""
    return f"{served.router}-epp"


def picker_selector(served: Served, names: Names) -> dict[str, str]:
    """The labels of the picker's pods; the last is the chart's own."""
    return {RUN: names.run, STACK: names.stack, "llm-d-router-gateway": picker_service(served)}


def _picker(served: Served) -> dict[str, Any]:
    scenario, picker = served.scenario, served.scenario.router.picker
    env = [{"name": name, "value": value} for name, value in picker.env.items()]
    if scenario.engine.kind != "simulator" and "HF_TOKEN" not in picker.env:
        env.insert(0, _token(served))
    made: dict[str, Any] = {
        "replicas": picker.replicas,
        "flags": {"v": picker.verbosity},
        "env": env,
        **_resources(picker),
    }
    if picker.image is not None:
        made["image"] = _image(picker.image) | {"pullPolicy": scenario.engine.pull_policy}
    if picker.plugins is not None:
        made |= {"pluginsConfigFile": PLUGINS_FILE, "pluginsCustomConfig": plugin_files(picker)}
    return made


def plugin_files(picker: Picker) -> dict[str, str]:
    """The files that the picker reads its plugins from, by name; none where the chart's own are used."""
    if picker.plugins is None:
        return {}
    return {PLUGINS_FILE: yaml.safe_dump(_KIND | _plain(picker.plugins), sort_keys=False)}


def _plain(value: Any) -> Any:
    """The same as dicts and lists."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _resources(picker: Picker) -> dict[str, Any]:
    said = {name: amount for name, amount in (("cpu", picker.cpu), ("memory", picker.memory)) if amount}
    return {"resources": {"requests": said, "limits": said}} if said else {}


def _image(image: str) -> dict[str, str]:
    """The three parts that the chart puts together again; of a digest, ``@sha256`` stays with the repository."""
    registry, _, rest = image.rpartition("/")
    repository, colon, tag = rest.rpartition(":")
    return {"registry": registry, "repository": repository if colon else rest, "tag": tag if colon else "latest"}


def _token(served: Served) -> dict[str, Any]:
    hub = served.scenario.huggingface
    key = {"name": hub.secret, "key": hub.key, "optional": not hub.required}
    return {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": key}}


def _proxy(release: str) -> dict[str, Any]:
    """The proxy beside the picker. The chart's name for its ConfigMap is the same in every release of a namespace."""
    name = f"{release}-envoy"
    config = {"name": name, "items": [{"key": "envoy.yaml", "path": "envoy.yaml"}]}
    return {
        "proxy": {
            "enabled": True,
            "proxyType": "envoy",
            "mode": "sidecar",
            "configMap": {"name": name},
            "volumes": [{"name": "config", "configMap": config}],
        },
        "extraServicePorts": [
            {"name": "http", "port": SERVICE_PORT, "protocol": "TCP", "targetPort": _PROXY_PORT},
        ],
    }
