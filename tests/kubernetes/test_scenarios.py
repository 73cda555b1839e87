"""The scenarios that come with the plugin: each loads, renders without a cluster, and is valid where it is applied."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import yaml

from pytest_llmdbench import __version__
from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.objective import parse_objectives
from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.declared.router import Charts
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.stacks.kubernetes.names import Names, slug
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered
from pytest_llmdbench.stacks.kubernetes.rendering import DRY_RUN, files
from pytest_llmdbench.stacks.kubernetes.ways import WAYS, render

#: Scenario -> GPUs that the whole stack asks for. A new scenario is a new line.
GPUS: Final = {
    "a100": 2,
    "agentic-evaluation": 10,
    "cks": 2,
    "cpu-cluster": 0,
    "flow-control": 2,
    "gke": 2,
    "gpu": 1,
    "h100": 1,
    "h200": 1,
    "kind": 0,
    "multi-model": 2,
    "openshift": 2,
    "optimized-baseline": 2,
    "pd-disaggregation": 5,
    "precise-prefix-cache": 4,
    "predicted-latency": 2,
    "simulated": 0,
    "simulated-accelerators": 0,
    "tiered-prefix-cache": 2,
    "wide-ep-lws": 32,
    "workload-autoscaling": 1,
    "workload-autoscaling-wva": 1,
    "xpu": 1,
}
#: The Kubernetes that everything must be valid for.
VERSION: Final = "1.37"
#: Kinds that no schema of Kubernetes' own knows.
OTHERS: Final = {
    ("gateway.networking.k8s.io/v1", "Gateway"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("inference.networking.k8s.io/v1", "InferencePool"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("networking.gke.io/v1", "GCPBackendPolicy"),
    ("networking.gke.io/v1", "HealthCheckPolicy"),
    ("networking.istio.io/v1", "DestinationRule"),
    ("networking.istio.io/v1beta1", "DestinationRule"),
    ("route.openshift.io/v1", "Route"),
}
#: Plugins of llm-d-router v0.10.0 that the scenarios use.
PLUGINS: Final = {
    "active-request-scorer", "always-disagg-pd-decider", "approx-prefix-cache-producer", "concurrency-detector",
    "decode-filter", "disagg-profile-handler", "endpoint-notification-source", "fcfs-ordering-policy",
    "kv-cache-utilization-scorer", "latency-scorer", "no-hit-lru-scorer", "precise-prefix-cache-producer",
    "predicted-latency-producer", "prefill-filter", "prefix-cache-affinity-filter", "prefix-cache-scorer",
    "queue-scorer", "round-robin-fairness-policy", "token-producer", "weighted-random-picker",
}  # fmt: skip
#: Keys whose value is the name of a plugin.
REFERENCES: Final = ("pluginRef", "prefixMatchInfoProducerName", "fairnessPolicyRef", "orderingPolicyRef", "prefill")
FOLDER: Final = shipped_root() / "scenarios"


@functools.cache
def scenario(name: str) -> Scenario:
    layers = Layers()
    layers.add_source(load_yaml(FOLDER / f"{name}.yaml"))
    return read_model(Scenario, layers)


def names(name: str) -> Names:
    return Names(DRY_RUN, slug(name), "default")


@functools.cache
def rendered(name: str) -> Rendered:
    return render(scenario(name), names(name))


def manifests(made: Rendered) -> list[Mapping[str, Any]]:
    return [*made.kept, *made.first, *made.manifests, *made.optional]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) of all that is neither a mapping nor a list."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from leaves(one, str(name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one, key)
    else:
        yield key, value


def values(name: str, part: str) -> list[Mapping[str, Any]]:
    """Values of all releases of one kind: ``router`` or ``ms``."""
    chart = {"router": "llm-d-router", "ms": "llm-d-modelservice"}[part]
    return [one.values for one in rendered(name).releases if chart in one.chart.chart]


def picker_config(epp: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that the picker is started with, read from where its chart looks for it."""
    config: dict[str, Any] = yaml.safe_load(epp["pluginsCustomConfig"][epp["pluginsConfigFile"]])
    return config


every: Final = pytest.mark.parametrize("name", GPUS)
ROUTED: Final = [name for name in GPUS if scenario(name).deploy == "modelservice"]
routed: Final = pytest.mark.parametrize("name", ROUTED)


def validate(manifest: Mapping[str, Any]) -> None:
    """Raises unless the object is valid; of kinds of others what they hold of Kubernetes' own is looked at."""
    import kubernetes_validate

    kind = (manifest["apiVersion"], manifest["kind"])
    if kind not in OTHERS:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    elif manifest["kind"] == "LeaderWorkerSet":
        for template in manifest["spec"]["leaderWorkerTemplate"].values():
            if isinstance(template, Mapping) and "spec" in template:
                pod = {"apiVersion": "v1", "kind": "Pod", **template}
                kubernetes_validate.validate(pod, VERSION, strict=True)
    elif manifest["kind"] == "ScaledObject":
        spec = manifest["spec"]
        scaler = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "spec": {
                "scaleTargetRef": spec["scaleTargetRef"],
                "minReplicas": spec["minReplicaCount"],
                "maxReplicas": spec["maxReplicaCount"],
                "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            },
        }
        kubernetes_validate.validate(scaler, VERSION, strict=True)


def test_every_scenario_that_comes_with_the_plugin_is_looked_at_here() -> None:
    deployed = {path.stem for path in FOLDER.glob("*.yaml") if scenario(path.stem).deploy in WAYS}
    assert deployed == set(GPUS)


@every
def test_a_scenario_is_read_on_one_screen_and_says_what_it_is_and_what_is_good_enough(name: str) -> None:
    said = scenario(name)
    text = (FOLDER / f"{name}.yaml").read_text()
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines())) <= 120
    assert said.description
    assert "\n" not in said.description
    assert {one.metric for one in parse_objectives(said.slo, name)} >= {"ttft", "tpot", "error_rate"}
    # The image of an agentic evaluation is the benchmark; all others run programs that the project's own image has.
    assert (said.load.image is None) == (said.harness != "eval-containers")


@every
def test_two_renders_of_a_scenario_are_the_same_byte_for_byte(name: str) -> None:
    first = list(files(name, scenario(name)))
    assert first == list(files(name, scenario(name)))
    assert len({file for file, _ in first}) == len(first) >= 3


@every
def test_every_manifest_is_valid_for_a_current_kubernetes(name: str) -> None:
    made = [yaml.safe_load(text) for file, text in files(name, scenario(name)) if "-values-" not in file]
    for manifest in made:
        validate(manifest)


@every
def test_no_file_holds_a_token(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(variable, "hf_planted")
    texts = [text for _, text in files(name, scenario(name))]
    assert not any("hf_planted" in text for text in texts)
    environment = [
        one
        for manifest in [*manifests(rendered(name)), *(one.values for one in rendered(name).releases)]
        for one in mappings(manifest)
        if "TOKEN" in str(one.get("name"))
    ]
    assert all("secretKeyRef" in one["valueFrom"] for one in environment)


def mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from mappings(one)


@every
def test_names_are_unique_and_as_short_as_kubernetes_and_helm_want_them(name: str) -> None:
    made = rendered(name)
    found = [(one["kind"], one["metadata"]["name"]) for one in manifests(made)]
    assert len(set(found)) == len(found)
    assert all(len(one) <= 63 for _, one in found)
    releases = [one.name for one in made.releases]
    assert len(set(releases)) == len(releases)
    assert all(len(one) <= 53 for one in releases)
    assert all(len(value) <= 63 for one in made.expected for value in one.selector.values())


@every
def test_a_stack_asks_for_as_many_gpus_as_its_line_here_says(name: str) -> None:
    assert rendered(name).gpus == GPUS[name]


@every
def test_a_step_of_the_engine_is_not_held_to_256_tokens(name: str) -> None:
    said = scenario(name)
    for role in (said.role("pods"), said.role("decode"), said.role("prefill")):
        limit = role.vllm.max_num_batched_tokens
        assert limit is None or limit >= 2048


@every
def test_every_object_says_its_namespace(name: str) -> None:
    assert [one["kind"] for one in manifests(rendered(name)) if one["metadata"].get("namespace") != "default"] == []


@every
def test_a_model_that_a_claim_holds_is_served_from_it(name: str) -> None:
    claim = scenario(name).storage.pvc
    if claim is None:
        assert not rendered(name).first
        return
    for one in rendered(name).expected:
        if one.role in rendered(name).engine_ports:
            container = engine(name, one.role)
            assert "/model-cache/models/" in " ".join(container["args"])
            assert {"name": "models", "mountPath": "/model-cache", "readOnly": True} in container["volumeMounts"]


def engine(name: str, role: str) -> Mapping[str, Any]:
    """The engine's container of a role of the first model."""
    if scenario(name).deploy == "modelservice":
        container: Mapping[str, Any] = values(name, "ms")[0][role]["containers"][0]
        return container
    deployment = next(one for one in rendered(name).manifests if one["kind"] == "Deployment")
    found: Mapping[str, Any] = deployment["spec"]["template"]["spec"]["containers"][0]
    return found


@every
def test_a_startup_is_over_before_the_standup_gives_up(name: str) -> None:
    said = scenario(name)
    assert max(said.role("pods").startup_s, said.role("decode").startup_s) <= said.standup_s


@routed
def test_plugins_are_where_the_picker_looks_for_them(name: str) -> None:
    plugins = scenario(name).router.picker.plugins
    for one in values(name, "router"):
        epp = one["router"]["epp"]
        if plugins is None:
            assert "pluginsConfigFile" not in epp
            continue
        config = picker_config(epp)
        assert (config["apiVersion"], config["kind"]) == ("llm-d.ai/v1alpha1", "EndpointPickerConfig")
        assert config["schedulingProfiles"]


@pytest.mark.parametrize("name", [name for name in ROUTED if scenario(name).router.picker.plugins is not None])
def test_plugins_exist_and_refer_to_each_other_by_the_names_they_have(name: str) -> None:
    config = picker_config(values(name, "router")[0]["router"]["epp"])
    assert {one["type"] for one in config["plugins"]} <= PLUGINS
    declared = [one.get("name", one["type"]) for one in config["plugins"]]
    assert len(set(declared)) == len(declared)
    assert {value for key, value in leaves(config) if key in REFERENCES} <= set(declared)
    for number, one in enumerate(config["plugins"]):  # the picker makes them in this order
        assert {value for key, value in leaves(one) if key in REFERENCES} <= set(declared[:number])
    profiles = {one["name"] for one in config["schedulingProfiles"]}
    assert profiles == ({"prefill", "decode"} if scenario(name).role("prefill").replicas else {"default"})


def test_the_picker_of_precise_prefix_routing_has_the_tokenizer_that_it_asks() -> None:
    router = values("precise-prefix-cache", "router")[0]["router"]
    producer = next(one for one in picker_config(router["epp"])["plugins"] if one["type"] == "token-producer")
    assert producer["parameters"]["vllm"]["url"] == "http://localhost:8000"
    assert router["tokenizer"]["enabled"] is True
    assert router["tokenizer"]["modelName"] == producer["parameters"]["modelName"]


def test_the_engines_of_precise_prefix_routing_publish_where_the_picker_listens() -> None:
    said = scenario("precise-prefix-cache")
    events = said.vllm.kv_events_config or {}
    router = values("precise-prefix-cache", "router")[0]["router"]
    config = picker_config(router["epp"])["plugins"]
    listens = next(one for one in config if one["type"] == "precise-prefix-cache-producer")["parameters"]
    assert events["endpoint"].endswith(f":{listens['kvEventsConfig']['podDiscoveryConfig']['socketPort']}")
    assert listens["tokenProcessorConfig"]["blockSizeTokens"] == said.vllm.block_size
    port = rendered("precise-prefix-cache").engine_ports["decode"]
    assert events["topic"] == f"kv@$(POD_IP):{port}@{said.model.name}"
    assert {"number": port} in router["modelServers"]["targetPorts"]


@pytest.mark.parametrize("name", ["workload-autoscaling", "workload-autoscaling-wva"])
def test_an_autoscaler_scales_the_decode_pods_of_its_own_stack_and_begins_where_they_do(name: str) -> None:
    (scaler,) = [one for one in rendered(name).manifests if one["kind"] == "ScaledObject"]
    release = rendered(name).releases[-1]
    assert scaler["spec"]["scaleTargetRef"]["name"] == f"{release.values['fullnameOverride']}-decode"
    assert scaler["spec"]["minReplicaCount"] == scenario(name).role("decode").replicas
    behavior = scaler["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert all(behavior[way]["policies"] for way in ("scaleUp", "scaleDown"))
    queries = [one["metadata"]["query"] for one in scaler["spec"]["triggers"]]
    assert all(names(name).base in query for query in queries)


@pytest.mark.parametrize("name", ["simulated", "kind"])
def test_the_simulators_image_is_the_one_that_make_image_build_makes(name: str) -> None:
    assert scenario(name).engine.image == f"localhost/llmdbench/simulator:{__version__}"


def test_values_or_a_version_of_a_pinned_chart_are_said_alone_and_another_chart_brings_its_own() -> None:
    pinned = Charts()
    made = Charts.model_validate(
        {"infra": {"values": {"a": 1}}, "router": {"version": "v9"}, "modelservice": {"chart": "./x"}}
    )
    assert made.infra == pinned.infra.model_copy(update={"values": {"a": 1}})
    assert made.router == pinned.router.model_copy(update={"version": "v9"})
    assert (made.modelservice.repository, made.modelservice.version) == (None, None)
    assert made.router_standalone == pinned.router_standalone
