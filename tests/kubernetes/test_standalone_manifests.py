"""``deploy: standalone`` as manifests: valid, complete, the same each time, and without secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.stacks.kubernetes import standalone
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.rendering import files, write

NAMES = Names("abcdef", "h100", "team", {"apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": "1"})


def scenario(**more: Any) -> Scenario:
    data: dict[str, Any] = {"deploy": "standalone", "model": {"name": "org/model"}}
    return Scenario.model_validate(data | more)


def rendered(**more: Any) -> dict[str, dict[str, Any]]:
    made = standalone.render(scenario(**more), NAMES)
    everything = (*made.kept, *made.first, *made.manifests, *made.optional)
    return {one["kind"]: dict(one) for one in everything}


def engine(**more: Any) -> dict[str, Any]:
    container: dict[str, Any] = rendered(**more)["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    return container


def test_every_vllm_flag_is_said_once_and_where_it_takes_effect() -> None:
    args = engine(vllm={"max_model_len": 4096, "enable_prefix_caching": False, "tensor_parallel_size": 2})["args"]
    assert args == [
        "org/model",
        "--served-model-name=org/model",
        "--port=8000",
        "--tensor-parallel-size=2",
        "--max-model-len=4096",
        "--no-enable-prefix-caching",
    ]


def test_gpus_follow_the_parallelism_unless_said_otherwise() -> None:
    limits = engine(vllm={"tensor_parallel_size": 2, "data_parallel_size": 2})["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "4"
    assert engine(pods={"gpus": 1})["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in engine(pods={"gpus": 0})["resources"]["limits"]


def test_the_token_is_only_ever_a_reference_to_its_secret() -> None:
    env = {one["name"]: one for one in engine()["env"]}
    assert env["HF_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "llm-d-hf-token"
    assert "value" not in env["HF_TOKEN"]


def test_a_claim_is_served_from_and_not_downloaded_again() -> None:
    made = rendered(storage={"pvc": "models"})
    container = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][0] == "/model-cache/models/org/model"
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    assert mounts["models"] == {"name": "models", "mountPath": "/model-cache", "readOnly": True}
    assert made["Job"]["spec"]["template"]["spec"]["containers"][0]["command"][-2:] == [
        "org/model",
        "/model-cache/models/org/model",
    ]


def test_a_claim_has_no_owner_and_every_other_object_has() -> None:
    for kind, one in rendered(storage={"pvc": "models"}, expose={"openshift_route": True}).items():
        assert ("ownerReferences" in one["metadata"]) is (kind != "PersistentVolumeClaim")


def test_nodes_are_chosen_by_the_gpu_product() -> None:
    made = rendered(accelerator={"product": "NVIDIA-H100-80GB-HBM3"}, pods={"tolerations": [{"operator": "Exists"}]})
    spec = made["Deployment"]["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert spec["tolerations"] == [{"operator": "Exists"}]


def test_shared_memory_is_there_unless_it_is_refused() -> None:
    assert [one["name"] for one in engine()["volumeMounts"]] == ["shm"]
    assert engine(pods={"shm": 0})["volumeMounts"] == []


def test_what_a_monitor_scrapes_is_a_port_that_is_declared() -> None:
    made = rendered()
    (endpoint,) = made["PodMonitor"]["spec"]["podMetricsEndpoints"]
    ports = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert endpoint["port"] in [port["name"] for port in ports]


def test_texts_in_further_manifests_are_filled_in() -> None:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "calm"},
        "spec": {
            "maxUnavailable": 0,
            "selector": {"matchLabels": {"llmdbench/stack": "{{ stack.labels['llmdbench/stack'] }}"}},
        },
    }
    made = rendered(manifests=[budget])["PodDisruptionBudget"]
    assert made["metadata"]["name"] == "h100-abcdef-calm"
    assert made["spec"]["selector"]["matchLabels"] == {"llmdbench/stack": "h100"}


@pytest.mark.parametrize(
    "text", ["{{ stack.nothing }}", "{{ stack.__class__.__mro__ }}", "{{ ''.__class__ }}", "{% if %}"]
)
def test_a_template_that_is_wrong_or_reaches_out_of_its_sandbox_is_refused(text: str) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"y": text}}
    with pytest.raises(DeclarationError, match="manifests, number 1"):
        rendered(manifests=[manifest])


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}, "belongs to no namespace"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "theirs"}}, "says theirs"),
        ({"apiVersion": "v1", "kind": "Secret"}, "needs apiVersion, kind and metadata.name"),
    ],
)
def test_what_would_outlive_the_run_is_refused(manifest: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        rendered(manifests=[manifest])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"engine": {"kind": "simulator", "image": "simulator:1"}},
        {"storage": {"pvc": "models"}, "pods": {"capabilities": ["IPC_LOCK"], "run_as_root": True}},
        {"pods": {"volumes": [{"name": "lora", "mount_path": "/lora", "config_map": "lora"}], "replicas": 3}},
    ],
)
def test_every_manifest_is_valid_for_a_current_kubernetes(more: dict[str, Any]) -> None:
    import kubernetes_validate

    for _, text in files("h100", scenario(**more, expose={"pod_monitor": False})):
        kubernetes_validate.validate(yaml.safe_load(text), "1.33", strict=True)


def test_two_renderings_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    one = {path.name: path.read_bytes() for path in write(tmp_path / "a", "h100", scenario())}
    other = {path.name: path.read_bytes() for path in write(tmp_path / "b", "h100", scenario())}
    assert one == other
    assert len(one) >= 3


def test_a_dry_run_shows_the_job_of_the_load_last_whether_or_not_it_has_an_image() -> None:
    name, text = list(files("h100", scenario()))[-1]
    assert name.endswith("-job-h100-dryrun-load.yaml")
    made = list(files("h100", scenario(load={"image": "load:1", "parallelism": 3, "results_pvc": "long"})))
    job = yaml.safe_load(made[-1][1])
    assert job["spec"]["parallelism"] == 3
    assert {one["image"] for one in job["spec"]["template"]["spec"]["containers"]} == {"load:1"}
    assert "claimName: long" in made[-1][1]
    assert "(load.image)" in text


def test_a_simulated_stack_gets_its_settings_by_configmap() -> None:
    made = rendered(engine={"kind": "simulator", "image": "simulator:1"}, simulator={"itl": 0.5})
    assert '"itl": 0.5' in made["ConfigMap"]["data"]["simulator.json"]
    assert engine(engine={"kind": "simulator", "image": "simulator:1"})["command"][:2] == ["python3", "-m"]
