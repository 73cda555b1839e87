"""A modelservice stack as plain data: releases, values, routes, and what must be there. Needs no helm and no charts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.stacks.kubernetes.modelservice import render
from pytest_llmdbench.stacks.kubernetes.names import Names, slug
from pytest_llmdbench.stacks.kubernetes.rendered import Expected, Release, Rendered

PLUGINS: dict[str, Any] = {
    "plugins": [{"type": "prefill-filter"}, {"type": "decode-filter"}, {"type": "disagg-profile-handler"}],
    "schedulingProfiles": [
        {"name": "prefill", "plugins": [{"pluginRef": "prefill-filter"}]},
        {"name": "decode", "plugins": [{"pluginRef": "decode-filter"}]},
    ],
}
NIXL = {"kv_transfer_config": {"kv_connector": "NixlConnector", "kv_role": "kv_both"}}
DISAGGREGATED: dict[str, Any] = {
    "vllm": NIXL,
    "decode": {"replicas": 1, "vllm": {"tensor_parallel_size": 4}},
    "prefill": {"replicas": 4},
    "router": {"picker": {"plugins": PLUGINS}},
}
WIDE: dict[str, Any] = {
    "vllm": {"data_parallel_size": 16, "enable_expert_parallel": True},
    "decode": {"workers": 2},
    "prefill": {"replicas": 1, "workers": 2},
    "router": {"picker": {"plugins": PLUGINS}},
}
SEVERAL: dict[str, Any] = {
    "router": {"gateway": "istio"},
    "model": {"name": "a/first"},
    "also": [{"name": "second", "model": "b/second", "tensor_parallel_size": 2}],
}


def names(stack: str = "h100", run: str = "x7k2m9") -> Names:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "anchor", "uid": "0"}
    return Names(run, stack, "bench", owner)


def scenario(**said: Any) -> Scenario:
    return Scenario.model_validate({"deploy": "modelservice", "model": {"name": "org/model"}, **said})


def rendered(**said: Any) -> Rendered:
    return render(scenario(**said), names())


def release(made: Rendered, name: str) -> Release:
    return next(one for one in made.releases if one.name == f"h100-x7k2m9-{name}")


def serving(made: Rendered, role: str, name: str = "ms") -> dict[str, Any]:
    return release(made, name).values[role]["containers"][0]  # type: ignore[no-any-return]


def expected(made: Rendered, role: str) -> Expected:
    return next(one for one in made.expected if one.role == role)


def env(container: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def of_kind(made: Rendered, kind: str) -> list[Any]:
    return [one for one in made.manifests if one["kind"] == kind]


def test_the_default_is_a_picker_with_a_proxy_of_its_own_and_no_gateway() -> None:
    made = rendered()
    assert [one.name for one in made.releases] == ["h100-x7k2m9-router", "h100-x7k2m9-ms"]
    assert release(made, "router").chart.chart.endswith("llm-d-router-standalone")
    assert (made.service, made.port) == ("h100-x7k2m9-router-epp", 80)
    assert [kind for _, kind, _ in made.needs.kinds] == ["InferencePool"]


def test_two_proxies_in_one_namespace_do_not_share_their_config_map() -> None:
    first, second = (
        render(scenario(), names(run=run)).releases[0].values["router"]["proxy"] for run in ("x7k2m9", "b22222")
    )
    assert first["configMap"]["name"] != second["configMap"]["name"]
    assert first["volumes"][0]["configMap"]["name"] == first["configMap"]["name"]


def test_without_a_gateway_a_service_goes_straight_to_the_decode_pods() -> None:
    made = rendered(router={"gateway": "none"})
    assert [one.name for one in made.releases] == ["h100-x7k2m9-ms"]
    (service,) = of_kind(made, "Service")
    assert made.service == service["metadata"]["name"]
    assert service["spec"]["selector"] == expected(made, "decode").selector
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (made.port, 8000)
    assert made.needs.kinds == ()


@pytest.mark.parametrize(
    ("gateway", "service", "provider", "kind"),
    [
        ("istio", "h100-x7k2m9-gateway-istio", "istio", "DestinationRule"),
        ("agentgateway", "h100-x7k2m9-gateway", "none", "AgentgatewayParameters"),
        ("gke", "h100-x7k2m9-gateway", "gke", "GCPBackendPolicy"),
    ],
)
def test_each_gateway_leads_to_the_pool_by_a_route(gateway: str, service: str, provider: str, kind: str) -> None:
    made = rendered(router={"gateway": gateway, "request_timeout_s": 900})
    assert [one.name for one in made.releases] == ["h100-x7k2m9-infra", "h100-x7k2m9-router", "h100-x7k2m9-ms"]
    assert release(made, "router").chart.chart.endswith("llm-d-router-gateway")
    assert release(made, "router").values["provider"]["name"] == provider
    gate = release(made, "infra").values["gateway"]["fullnameOverride"]
    (route,) = of_kind(made, "HTTPRoute")
    assert route["spec"]["parentRefs"][0]["name"] == gate
    (rule,) = route["spec"]["rules"]
    assert rule["backendRefs"][0]["name"] == "h100-x7k2m9-router"
    assert rule.get("timeouts") == (None if gateway == "gke" else {"request": "900s"})
    assert made.service == service
    assert {"InferencePool", "Gateway", "HTTPRoute", kind} <= {one for _, one, _ in made.needs.kinds}


def test_decode_pods_listen_behind_the_sidecar_and_prefill_pods_by_themselves() -> None:
    made = rendered(**DISAGGREGATED)
    routing = release(made, "ms").values["routing"]
    assert (routing["servicePort"], routing["proxy"]["targetPort"]) == (8000, 8200)
    assert [one["containerPort"] for one in serving(made, "decode")["ports"]] == [8200]
    assert [one["containerPort"] for one in serving(made, "prefill")["ports"]] == [8000]
    assert made.engine_ports == {"decode": 8200, "prefill": 8000}
    bare = rendered(**DISAGGREGATED, sidecar={"enabled": False})
    assert bare.engine_ports["decode"] == 8000
    assert release(bare, "ms").values["routing"]["proxy"] == {"enabled": False}


def test_the_kv_cache_is_fetched_from_the_pods_own_address() -> None:
    for role in ("decode", "prefill"):
        said = env(serving(rendered(**DISAGGREGATED), role))
        assert said["VLLM_NIXL_SIDE_CHANNEL_HOST"] == {"fieldRef": {"fieldPath": "status.podIP"}}
        assert said["VLLM_NIXL_SIDE_CHANNEL_PORT"] == "5557"
    assert "VLLM_NIXL_SIDE_CHANNEL_HOST" not in env(serving(rendered(), "decode"))


def test_roles_are_expected_apart_each_with_its_own_flags_and_gpus() -> None:
    made = rendered(**DISAGGREGATED)
    decode, prefill = expected(made, "decode"), expected(made, "prefill")
    assert (decode.count, decode.gpus, prefill.count, prefill.gpus) == (1, 4, 4, 1)
    assert made.gpus == 8
    assert decode.selector != prefill.selector
    assert decode.flags["--tensor-parallel-size"] == "4"
    assert "--tensor-parallel-size" not in prefill.flags
    assert json.loads(decode.flags["--kv-transfer-config"] or "")["kv_connector"] == "NixlConnector"
    assert expected(made, "picker").flags == {"--config-file": "/config/llmdbench-plugins.yaml"}
    assert "picker" not in made.engine_ports


def test_no_selector_matches_the_pods_of_a_sibling_stack_or_of_another_run() -> None:
    first = render(scenario(**DISAGGREGATED), names())
    for other in (names(stack="h200"), names(run="b22222")):
        for here, there in zip(first.expected, render(scenario(**DISAGGREGATED), other).expected, strict=True):
            assert here.role == there.role
            assert not here.selector.items() <= there.selector.items()


def test_the_pool_holds_the_pods_of_all_roles_of_its_own_model_only() -> None:
    made = rendered(**DISAGGREGATED)
    pool = release(made, "router").values["router"]["modelServers"]["matchLabels"]
    labels = release(made, "ms").values["modelArtifacts"]["labels"]
    assert pool.items() <= labels.items()
    several = rendered(**SEVERAL)
    first = release(several, "router").values["router"]["modelServers"]["matchLabels"]
    second = release(several, "ms-second").values["modelArtifacts"]["labels"]
    assert not first.items() <= second.items()


def test_the_pickers_plugins_are_written_where_they_take_effect() -> None:
    picker = release(rendered(**DISAGGREGATED), "router").values["router"]["epp"]
    text = picker["pluginsCustomConfig"][picker["pluginsConfigFile"]]
    assert yaml.safe_load(text) == {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig", **PLUGINS}
    assert "pluginsConfigFile" not in release(rendered(), "router").values["router"]["epp"]


def test_prefill_pods_that_the_picker_would_never_ask_are_refused() -> None:
    with pytest.raises(DeclarationError, match=r"never be asked.*router\.picker\.plugins"):
        rendered(prefill={"replicas": 1})
    assert rendered(prefill={"replicas": 1}, router={"gateway": "none"}).gpus == 2


def test_the_pickers_metrics_need_no_cluster_role() -> None:
    prometheus = release(rendered(), "router").values["router"]["monitoring"]["prometheus"]
    assert prometheus == {"enabled": False, "auth": {"enabled": False}}


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("ghcr.io/llm-d/picker:v1", ("ghcr.io/llm-d", "picker", "v1")),
        ("host:5000/picker", ("host:5000", "picker", "latest")),
        ("host/a/picker@sha256:abc", ("host/a", "picker@sha256", "abc")),
    ],
)
def test_the_pickers_image_is_taken_apart_as_the_chart_puts_it_together(image: str, parts: tuple[str, ...]) -> None:
    said = release(rendered(router={"picker": {"image": image}}), "router").values["router"]["epp"]["image"]
    assert (said["registry"], said["repository"], said["tag"]) == parts


def test_wide_expert_parallelism_is_a_set_of_leaders_and_workers() -> None:
    made = rendered(**WIDE)
    values = release(made, "ms").values
    assert values["multinode"] is True
    assert values["decode"]["parallelism"] == {"tensor": 1, "data": 16, "dataLocal": 8, "workers": 2}
    assert (expected(made, "decode").count, expected(made, "decode").gpus) == (2, 8)
    flags = expected(made, "decode").flags
    assert (flags["--data-parallel-size"], flags["--data-parallel-size-local"]) == ("16", "8")
    assert flags["--data-parallel-address"] == "$(LWS_LEADER_ADDRESS)"
    assert "LeaderWorkerSet" in [kind for _, kind, _ in made.needs.kinds]
    assert "--data-parallel-address" not in expected(rendered(**DISAGGREGATED), "decode").flags


def test_each_pod_of_a_replica_is_started_with_its_place_among_the_others(tmp_path: Path) -> None:
    container = serving(rendered(**WIDE), "decode")
    program = tmp_path / "vllm"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[-1])\n")
    program.chmod(0o755)
    said = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LWS_WORKER_INDEX": "1"}
    command = [sys.executable, *container["command"][1:], *container["args"]]
    done = subprocess.run(command, env=said, capture_output=True, text=True, check=True)
    assert done.stdout == "--data-parallel-start-rank=8\n"


def test_copies_that_cannot_be_shared_out_are_refused_unless_the_scenario_starts_the_engine_itself() -> None:
    said: dict[str, Any] = {"vllm": {"data_parallel_size": 3}, "decode": {"workers": 2}}
    with pytest.raises(DeclarationError, match="multiple of workers"):
        rendered(**said)
    own = rendered(**said, pods={"command": ["my-engine"]})
    assert serving(own, "decode")["command"] == ["my-engine"]
    assert "--data-parallel-address" not in expected(own, "decode").flags


def test_further_models_have_their_own_pods_pool_and_path() -> None:
    made = rendered(**SEVERAL)
    assert [one.name.removeprefix("h100-x7k2m9-") for one in made.releases] == [
        "infra", "router", "ms", "rt-second", "ms-second",
    ]  # fmt: skip
    (route,) = of_kind(made, "HTTPRoute")
    paths = [(one["matches"][0]["path"]["value"], one["backendRefs"][0]["name"]) for one in route["spec"]["rules"]]
    assert paths == [("/second", "h100-x7k2m9-rt-second"), ("/", "h100-x7k2m9-router")]
    rewrite = route["spec"]["rules"][0]["filters"][0]["urlRewrite"]
    assert rewrite == {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    assert release(made, "ms-second").values["modelArtifacts"]["name"] == "b/second"
    assert serving(made, "decode", "ms-second")["args"][0] == "b/second"
    assert serving(made, "decode")["args"][0] == "a/first"
    assert expected(made, "second-decode").gpus == 2


def test_further_models_without_a_gateway_to_tell_them_apart_are_refused() -> None:
    with pytest.raises(DeclarationError, match=r"also: .*choose istio"):
        rendered(**{**SEVERAL, "router": {"gateway": "epponly"}})


def test_each_model_is_filled_into_the_claim_by_a_job_of_its_own() -> None:
    made = rendered(**SEVERAL, storage={"pvc": "models"})
    jobs = {one["metadata"]["name"]: one["spec"]["template"]["spec"]["containers"][0]["command"] for one in made.first}
    assert jobs["h100-x7k2m9-download"][3:] == ["a/first", "/model-cache/models/a/first"]
    assert jobs["h100-x7k2m9-download-second"][3:] == ["b/second", "/model-cache/models/b/second"]
    assert serving(made, "decode", "ms-second")["args"][0] == "/model-cache/models/b/second"


def test_pods_are_monitored_at_a_port_that_they_declare() -> None:
    made = rendered(**DISAGGREGATED)
    monitors = {one["metadata"]["name"]: one["spec"] for one in made.optional if one["kind"] == "PodMonitor"}
    assert set(monitors) == {f"h100-x7k2m9-{role}" for role in ("decode", "prefill", "picker")}
    for role in ("decode", "prefill"):
        port = monitors[f"h100-x7k2m9-{role}"]["podMetricsEndpoints"][0]["port"]
        assert port in [one["name"] for one in serving(made, role)["ports"]]
        assert monitors[f"h100-x7k2m9-{role}"]["selector"]["matchLabels"] == expected(made, role).selector
        assert release(made, "ms").values[role]["monitoring"] == {"podmonitor": {"enabled": False}}
    assert not rendered(expose={"pod_monitor": False}).optional


def test_what_the_chart_has_once_must_be_said_once() -> None:
    with pytest.raises(DeclarationError, match=r"decode\.labels and prefill\.labels differ"):
        rendered(**{**DISAGGREGATED, "prefill": {"replicas": 1, "labels": {"tier": "a"}}})
    alike = rendered(**DISAGGREGATED, pods={"labels": {"tier": "a"}, "service_account": "mine"})
    assert release(alike, "ms").values["modelArtifacts"]["labels"]["tier"] == "a"
    assert release(alike, "ms").values["serviceAccountOverride"] == "mine"


def test_values_of_the_scenario_are_merged_over_those_made_from_it() -> None:
    charts = {"modelservice": {"chart": "./mine", "values": {"decode": {"replicas": 7}, "new": {"key": None}}}}
    made = release(rendered(charts=charts), "ms")
    assert made.values["decode"]["replicas"] == 7
    assert made.values["new"] == {"key": None}
    assert made.values["decode"]["containers"][0]["name"] == "vllm"


def test_no_value_holds_a_token() -> None:
    made = rendered(**DISAGGREGATED, pods={"env_from_secrets": {"KEY": {"secret": "s", "key": "k"}}})
    said = env(serving(made, "decode"))
    assert said["HF_TOKEN"]["secretKeyRef"]["name"] == "llm-d-hf-token"
    assert said["KEY"] == {"secretKeyRef": {"name": "s", "key": "k"}}
    assert {one["name"] for one in release(made, "router").values["router"]["epp"]["env"]} == {"HF_TOKEN"}


def test_kv_events_may_name_the_pod_by_its_address() -> None:
    events = {"enable_kv_cache_events": True, "publisher": "zmq", "topic": "kv@$(POD_IP):8000@org/model"}
    container = serving(rendered(vllm={"kv_events_config": events}), "decode")
    assert container["env"][0] == {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


@pytest.mark.parametrize("said", [{}, DISAGGREGATED, WIDE, SEVERAL], ids=["default", "p-d", "wide-ep", "models"])
def test_two_renders_of_one_scenario_are_the_same_byte_for_byte(said: dict[str, Any]) -> None:
    def text() -> str:
        made = rendered(**said)
        values = [[one.name, one.values] for one in made.releases]
        return json.dumps([made.manifests, made.optional, values, [str(one) for one in made.expected]], default=dict)

    assert text() == text()


def test_names_stay_within_what_helm_and_the_charts_allow() -> None:
    long = names(stack=slug("a-very-long-name-of-a-scenario-indeed"), run="bbbbbb")
    also = [{"name": "a-model-of-twenty-c" + "x", "model": "m"}]
    made = render(scenario(router={"gateway": "istio"}, also=also), long)
    routers = [one.name for one in made.releases if "router" in one.name or "-rt-" in one.name]
    assert len(routers) == 2
    assert all(len(name) <= 40 for name in routers)
    assert all(len(one.name) <= 53 for one in made.releases)
    assert all(len(value) <= 63 for one in made.expected for value in one.selector.values())
