"""A modelservice stack through the real llm-d charts, without a registry.

``.ci/charts DIR`` puts the charts into DIR; ``LLMDBENCH_TEST_CHARTS=DIR`` shows them to these tests.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.helm import Helm
from pytest_llmdbench.stacks.kubernetes.modelservice import render
from pytest_llmdbench.stacks.kubernetes.names import OURS, RUN, Names
from pytest_llmdbench.stacks.kubernetes.podspec import flags_of
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered
from tests.kubernetes.chart_folders import FOLDERS
from tests.kubernetes.conftest import SIMULATOR_IMAGE
from tests.kubernetes.test_modelservice_render import DISAGGREGATED, PLUGINS, SEVERAL, WIDE, names

pytestmark = pytest.mark.charts

#: The Kubernetes that rendered objects must be valid for.
VERSION: Final = "1.33"
STACKS: Final[dict[str, dict[str, Any]]] = {
    "default": {},
    "none": {"router": {"gateway": "none"}},
    "p-d": DISAGGREGATED,
    "p-d-istio": {**DISAGGREGATED, "router": {"gateway": "istio", "picker": {"plugins": PLUGINS, "replicas": 2}}},
    "agentgateway": {"router": {"gateway": "agentgateway", "picker": {"cpu": "2", "memory": "20Gi"}}},
    "gke": {"router": {"gateway": "gke", "latency_predictor": True, "tokenizer": True}},
    "wide-ep": WIDE,
    "models": SEVERAL,
    "everything": {
        "engine": {"kind": "llm-d-inference-sim", "image": "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2"},
        "storage": {"pvc": "models"},
        "cluster": {"image_pull_secrets": ["pull"]},
        "accelerator": {"product": "NVIDIA-H100-80GB-HBM3"},
        "pods": {
            "gpus": 1,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "annotations": {"note": "yes"},
            "labels": {"tier": "1e3"},
            "capabilities": ["IPC_LOCK"],
            "priority_class": "high",
            "scheduler": "mine",
            "runtime_class": "nvidia",
            "service_account": "mine",
            "volumes": [{"name": "scratch", "mount_path": "/scratch", "empty_dir": "1Gi"}],
            "env": {"NUMBER": "1e3"},
        },
    },
}  # fmt: skip


def scenario(charts: Path, said: Mapping[str, Any]) -> Scenario:
    own = said.get("charts") or {}
    local = {
        part: {"chart": str(charts / folder), "values": (own.get(part) or {}).get("values", {})}
        for part, folder in FOLDERS.items()
    }
    return Scenario.model_validate({"deploy": "modelservice", "model": {"name": "org/model"}, **said, "charts": local})


def shipped() -> dict[str, dict[str, Any]]:
    """The scenarios of this project that are deployed this way, by name."""
    found = {
        file.stem: yaml.safe_load(file.read_text())
        for file in sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
    }
    return {name: said for name, said in found.items() if said.get("deploy") == "modelservice"}


ALL: Final = {**STACKS, **shipped()}


@pytest.fixture(scope="module", params=ALL)
def stack(request: pytest.FixtureRequest, charts: Path) -> tuple[Rendered, dict[str, list[dict[str, Any]]]]:
    """A stack as it is rendered, and the objects that helm makes of its releases."""
    made = render(scenario(charts, ALL[request.param]), names())
    helm = Helm.find()
    return made, {one.name: helm.template(one, names(), f"v{VERSION}.0") for one in made.releases}


def pod_templates(objects: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The template of each workload, by its name."""
    found = {}
    for one in (one for release in objects.values() for one in release):
        if one["kind"] in ("Deployment", "StatefulSet"):
            found[one["metadata"]["name"]] = one["spec"]["template"]
        elif one["kind"] == "LeaderWorkerSet":
            found[one["metadata"]["name"]] = one["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    return found


def over(under: Any, above: Any) -> Any:
    """Values over a chart's own, as helm sees them."""
    if isinstance(under, dict) and isinstance(above, Mapping):
        return under | {key: over(under.get(key), value) for key, value in above.items()}
    return list(above) if isinstance(above, tuple) else above


@pytest.mark.parametrize("said", ALL)
def test_values_are_valid_against_each_charts_own_schema(charts: Path, said: str) -> None:
    import jsonschema

    for release in render(scenario(charts, ALL[said]), names()).releases:
        schema = Path(release.chart.chart) / "values.schema.json"
        if schema.is_file():  # the routers have none, and say in their templates what they do not take
            own = yaml.safe_load((schema.parent / "values.yaml").read_text())
            values = json.loads(json.dumps(over(own, release.values), default=dict))
            jsonschema.validate(values, json.loads(schema.read_text()))


def test_what_helm_makes_of_them_is_valid_kubernetes(
    stack: tuple[Rendered, dict[str, list[dict[str, Any]]]], charts: Path
) -> None:
    import jsonschema
    import kubernetes_validate

    crd = charts / "crds" / "inference.networking.k8s.io_inferencepools.yaml"
    pools = yaml.safe_load(crd.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"] if crd.exists() else {}
    made, objects = stack
    checked = set()
    for one in [*made.manifests, *(one for release in objects.values() for one in release)]:
        if one["kind"] == "InferencePool":
            jsonschema.validate(one, pools)
        elif one["apiVersion"] in ("v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"):
            kubernetes_validate.validate(one, VERSION, strict=True)
        checked.add(one["kind"])
    assert checked & {"Deployment", "LeaderWorkerSet"}


def test_every_object_is_labelled_owned_and_in_the_namespace(
    stack: tuple[Rendered, dict[str, list[dict[str, Any]]]],
) -> None:
    for one in (one for release in stack[1].values() for one in release):
        metadata = one["metadata"]
        assert names().labels.items() <= metadata["labels"].items(), one
        assert metadata["ownerReferences"] == [names().owner]
        assert metadata["namespace"] == "bench"
        assert metadata["name"].startswith(names().base)


def test_each_expected_selector_matches_the_pods_of_one_workload_and_no_others(
    stack: tuple[Rendered, dict[str, list[dict[str, Any]]]],
) -> None:
    made, objects = stack
    templates = pod_templates(objects)
    seen = []
    for expected in made.expected:
        matched = [
            name for name, one in templates.items() if expected.selector.items() <= one["metadata"]["labels"].items()
        ]
        assert len(matched) == 1, (expected.role, matched)
        containers = {one["name"]: one for one in templates[matched[0]]["spec"]["containers"]}
        if expected.flags:
            live = flags_of(containers[expected.container]["args"])
            assert expected.flags.items() <= live.items()
        assert expected.container in containers
        seen += matched
    assert sorted(seen) == sorted(templates)


def test_pools_and_services_select_pods_that_are_there_at_ports_that_they_have(
    stack: tuple[Rendered, dict[str, list[dict[str, Any]]]],
) -> None:
    made, objects = stack
    templates = pod_templates(objects).values()
    everything = [*made.manifests, *(one for release in objects.values() for one in release)]
    for one in everything:
        if one["kind"] not in ("Service", "InferencePool"):
            continue
        selector = one["spec"]["selector"]
        selector = selector.get("matchLabels", selector)
        pods = [pod["spec"] for pod in templates if selector.items() <= pod["metadata"]["labels"].items()]
        assert pods, one
        for pod in pods:
            containers = [*pod["containers"], *(pod.get("initContainers") or [])]
            declared = {port["containerPort"] for each in containers for port in each.get("ports") or ()}
            for port in one["spec"].get("ports") or one["spec"]["targetPorts"]:
                assert port.get("targetPort", port.get("port", port.get("number"))) in declared, one
    if made.releases[0].name.endswith("-router") or not made.releases[0].name.endswith("-infra"):
        service = next(
            one for one in everything if one["kind"] == "Service" and one["metadata"]["name"] == made.service
        )
        assert made.port in [port["port"] for port in service["spec"]["ports"]]


@pytest.mark.parametrize("gateway", ["epponly", "istio"])
def test_the_scenarios_plugins_are_what_the_picker_reads(charts: Path, gateway: str) -> None:
    said = {"router": {"gateway": gateway, "picker": {"plugins": PLUGINS}}}
    router = next(one for one in render(scenario(charts, said), names()).releases if one.name.endswith("-router"))
    objects = Helm.find().template(router, names())
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    picker = next(one for one in pod["containers"] if one["name"] == "epp")
    file = Path(picker["args"][picker["args"].index("--config-file") + 1])
    mount = next(one["name"] for one in picker["volumeMounts"] if one["mountPath"] == str(file.parent))
    config = next(one["configMap"]["name"] for one in pod["volumes"] if one["name"] == mount)
    data = next(one["data"] for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == config)
    assert yaml.safe_load(data[file.name])["schedulingProfiles"] == PLUGINS["schedulingProfiles"]
    assert "--metrics-endpoint-auth=false" in picker["args"]


def test_the_proxy_reads_the_config_map_that_its_own_release_makes(charts: Path) -> None:
    router = render(scenario(charts, {}), names()).releases[0]
    objects = Helm.find().template(router, names())
    (deployment,) = [one for one in objects if one["kind"] == "Deployment"]
    volumes = [
        one["configMap"]["name"] for one in deployment["spec"]["template"]["spec"]["volumes"] if "configMap" in one
    ]
    maps = {one["metadata"]["name"]: one["data"] for one in objects if one["kind"] == "ConfigMap"}
    assert set(volumes) == set(maps) == {"h100-x7k2m9-router-envoy", "h100-x7k2m9-router-epp"}
    assert "ext_proc" in maps["h100-x7k2m9-router-envoy"]["envoy.yaml"]


def test_what_the_scenario_says_of_pods_reaches_them(charts: Path) -> None:
    release = render(scenario(charts, STACKS["everything"]), names()).releases[-1]
    objects = Helm.find().template(release, names())
    template = next(iter(pod_templates({"": objects}).values()))
    pod = template["spec"]
    assert pod["affinity"] == STACKS["everything"]["pods"]["affinity"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert (pod["priorityClassName"], pod["schedulerName"], pod["runtimeClassName"]) == ("high", "mine", "nvidia")
    assert pod["serviceAccountName"] == "mine"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert template["metadata"]["annotations"] == {"note": "yes"}
    assert template["metadata"]["labels"]["tier"] == "1e3"
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["command"] == ["/app/llm-d-inference-sim"]
    assert container["args"][0] == "--model=/model-cache/models/org/model"
    assert {one["mountPath"] for one in container["volumeMounts"]} >= {"/model-cache", "/scratch"}
    assert "ServiceAccount" not in [one["kind"] for one in objects]


@pytest.mark.cluster
def test_a_stack_of_the_real_chart_comes_up_and_goes_with_its_owner(charts: Path, cluster: Cluster) -> None:
    owner = cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    own = Names("x7k2m9", "pd", cluster.namespace, reference)
    said = {
        "engine": {"kind": "simulator", "image": SIMULATOR_IMAGE},
        "router": {"gateway": "none"},
        "sidecar": {"enabled": False},
        "pods": {"gpus": 1, "cpu": "100m", "memory": "200Mi", "shm": "0"},
        "prefill": {"replicas": 1},
    }
    made = render(scenario(charts, said), own)
    for one in made.manifests:
        cluster.apply(one)
    helm = Helm.find()
    for release in made.releases:
        helm.install(release, own, cluster)
    assert made.gpus == 2
    for expected in made.expected:
        for pods in cluster.watch("v1", "Pod", expected.selector, 60):
            ready = [one for one in pods if _is(one, "Ready")]
            if len(ready) == expected.count == len(pods):
                break
        else:
            pytest.fail(f"{expected.role}: {[one['status'] for one in pods]}")
        (container,) = ready[0]["spec"]["containers"]
        assert flags_of(container["args"]) == expected.flags
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    behind: list[str] = []
    for found in cluster.watch("v1", "Endpoints", own.labels, 30):
        subsets = [subset for one in found for subset in one.get("subsets") or () if subset.get("addresses")]
        behind = [address["targetRef"]["name"] for subset in subsets for address in subset["addresses"]]
        if behind:
            break
    assert [name.rsplit("-", 2)[0] for name in behind] == [own.name("ms-decode")]
    (secret,) = cluster.objects("v1", "Secret", own.labels)
    assert secret["metadata"]["ownerReferences"][0]["uid"] == reference["uid"]

    cluster.delete("v1", "ConfigMap", "owner")
    kinds = [("apps/v1", "Deployment"), ("v1", "Pod"), ("v1", "Secret"), ("v1", "Service"), ("v1", "ServiceAccount")]
    deadline = time.monotonic() + 120
    while left := [one["metadata"]["name"] for kind in kinds for one in cluster.objects(*kind, {RUN: own.run, **OURS})]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def _is(pod: Mapping[str, Any], condition: str) -> bool:
    return any(one["type"] == condition and one["status"] == "True" for one in pod["status"].get("conditions", ()))
