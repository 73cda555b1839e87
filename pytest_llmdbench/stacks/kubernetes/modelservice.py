"""``deploy: modelservice``: llm-d's own charts, with one release for each part of the stack. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.declared.router import Chart, Further
from pytest_llmdbench.declared.scenario import Model, Scenario
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.stacks.kubernetes import gateway, podspec
from pytest_llmdbench.stacks.kubernetes.exposed import openshift_route, pod_monitor
from pytest_llmdbench.stacks.kubernetes.extra import extra_manifests, is_scaled
from pytest_llmdbench.stacks.kubernetes.modelservice_values import Served, modelservice_values
from pytest_llmdbench.stacks.kubernetes.names import ROLE, Names, slug
from pytest_llmdbench.stacks.kubernetes.rendered import Expected, Release, Rendered
from pytest_llmdbench.stacks.kubernetes.router_values import (
    METRICS_PORT,
    PICKER,
    PLUGINS_PATH,
    SERVICE_PORT,
    picker_selector,
    picker_service,
    plugin_files,
    router_values,
)
from pytest_llmdbench.stacks.kubernetes.storage import claim, download

_GATEWAYS: Final = ("istio", "agentgateway", "gke")


def render(scenario: Scenario, names: Names) -> Rendered:
    """All objects and releases of the stack.

    Raises:
        DeclarationError: what cannot be deployed this way.
    """
    _check(scenario)
    served = [_first(scenario, names), *(_further(scenario, one, names) for one in scenario.also)]
    service, port = _way_in(scenario, names, served[0])
    return Rendered(
        first=tuple(job for one in served for job in _downloads(one, names)),
        kept=tuple(claim(scenario, names)),
        manifests=(
            *podspec.simulator_settings(scenario, names),
            *([gateway.route(scenario, names, served)] if scenario.router.gateway in _GATEWAYS else []),
            *([gateway.direct(names, served[0])] if scenario.router.gateway == "none" else []),
            *extra_manifests(scenario, names, service=service),
        ),
        optional=tuple(_around(scenario, names, served, service)),
        releases=tuple(_releases(scenario, names, served)),
        expected=tuple(expected for one in served for expected in _expected(one, names)),
        service=service,
        port=port,
        # Of the providers, this one alone makes no Service.
        gateway=service if scenario.router.gateway == "gke" else "",
        needs=gateway.needs(scenario, served),
        engine_ports=served[0].engine_ports,
        files=plugin_files(scenario.router.picker) if scenario.router.gateway != "none" else {},
    )


def _check(scenario: Scenario) -> None:
    kind = scenario.router.gateway
    if scenario.also and kind not in _GATEWAYS:
        raise DeclarationError(
            f"also: further models have a path of their own, which takes a Gateway, but router.gateway is {kind!r}; "
            f"choose {', '.join(_GATEWAYS[:-1])} or {_GATEWAYS[-1]}"
        )
    if kind != "none" and scenario.role("prefill").replicas and scenario.router.picker.plugins is None:
        raise DeclarationError(
            "prefill pods would never be asked: the chart's own plugins know no prefill. Say router.picker.plugins "
            "with a profile for it, or set prefill.replicas to 0"
        )


def _first(scenario: Scenario, names: Names) -> Served:
    decode, prefill = scenario.role("decode"), scenario.role("prefill")
    return Served("", scenario, decode, prefill, names.name("ms"), names.name("router"))


def _further(scenario: Scenario, one: Further, names: Names) -> Served:
    """A further model: its pods are the first one's but for what it says itself."""
    decode = scenario.role("decode")
    alone = {"pipeline_parallel_size": 1, "data_parallel_size": 1, "data_parallel_size_local": None}
    alone |= {"enable_expert_parallel": None, "kv_transfer_config": None, "kv_events_config": None}
    flags = decode.vllm.model_copy(update=alone | {"tensor_parallel_size": one.tensor_parallel_size})
    said = {"cpu": one.cpu or decode.cpu, "memory": one.memory or decode.memory, "replicas": one.replicas}
    # Its label keeps it out of what selects the first model's decode pods.
    apart = {"labels": {**decode.labels, ROLE: f"model-{one.name}"}, "workers": 1, "gpus": None}
    pods = decode.model_copy(update={**said, **apart, "vllm": flags})
    model = {"model": Model(name=one.model), "storage": scenario.storage.model_copy(update={"path": None})}
    own = scenario.model_copy(update=model)
    # Of the router's name the chart keeps 40 letters, and the run's part of it takes 28.
    router = names.name(f"rt-{slug(one.name, 9)}")
    return Served(one.name, own, pods, Pods(replicas=0), names.name(f"ms-{one.name}"), router)


def _way_in(scenario: Scenario, names: Names, served: Served) -> tuple[str, int]:
    """Service and port that the load goes to."""
    kind = scenario.router.gateway
    if kind == "none":
        return names.name("direct"), gateway.PORT
    if kind == "epponly":
        return picker_service(served), SERVICE_PORT
    return gateway.gateway_service(scenario, names), gateway.PORT


def _releases(scenario: Scenario, names: Names, served: list[Served]) -> list[Release]:
    charts, kind = scenario.charts, scenario.router.gateway
    made = []
    if kind in _GATEWAYS:
        made.append(_release(names.name("infra"), charts.infra, gateway.infra_values(scenario, names)))
    router = charts.router_standalone if kind == "epponly" else charts.router
    for one in served:
        if kind != "none":
            made.append(_release(one.router, router, router_values(one, names)))
        made.append(_release(one.release, charts.modelservice, modelservice_values(one, names)))
    return made


def _release(name: str, chart: Chart, values: Mapping[str, Any]) -> Release:
    return Release(name, chart, merged(values, chart.values))


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Values as Helm merges them: mappings merge, all else replaces."""
    made = dict(under)
    for key, value in over.items():
        below = made.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        made[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return made


def _expected(served: Served, names: Names) -> list[Expected]:
    made = []
    for role, pods in served.roles().items():
        made.append(
            Expected(
                f"{served.name}-{role}" if served.name else role,
                served.selector(names, role),
                pods.replicas * pods.workers,
                podspec.CONTAINER,
                # A further model takes no load: that its pods are Ready is all that is asked of it.
                {} if served.name else podspec.flags_of(served.container(role)["args"]),
                podspec.gpus(served.scenario, pods),
                is_scaled(served.scenario),
            )
        )
    router = served.scenario.router
    if router.gateway != "none":
        role = f"{served.name}-picker" if served.name else "picker"
        told: dict[str, str | None] = {"--config-file": PLUGINS_PATH} if router.picker.plugins else {}
        made.append(Expected(role, picker_selector(served, names), router.picker.replicas, PICKER, told))
    return made


def _downloads(served: Served, names: Names) -> list[dict[str, Any]]:
    """The Job that fills the claim with this model; each model has one of its own."""
    made = download(served.scenario, names)
    if served.name:
        named = {"name": names.name(f"download-{served.name}")}
        made = [{**job, "metadata": {**job["metadata"], **named}} for job in made]
    return made


def _around(scenario: Scenario, names: Names, served: list[Served], service: str) -> list[dict[str, Any]]:
    """What is made only where the cluster knows the kind."""
    made = []
    if scenario.expose.pod_monitor:
        for one in served:
            for role in one.roles():
                part = f"{one.name}-{role}" if one.name else role
                made.append(pod_monitor(scenario, names, part, one.selector(names, role), "http"))
            if scenario.router.gateway != "none":
                part = f"{one.name}-picker" if one.name else "picker"
                made.append(pod_monitor(scenario, names, part, picker_selector(one, names), METRICS_PORT))
    if scenario.expose.openshift_route and scenario.router.gateway != "gke":
        port = gateway.PORT if scenario.router.gateway in _GATEWAYS else "http"
        made.append(openshift_route(names, service, port))
    return made
