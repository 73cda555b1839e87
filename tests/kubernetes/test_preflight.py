"""What is wrong is said before anything is created, all at once, each with the way out."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.preflight import Preflight
from pytest_llmdbench.stacks.kubernetes.ways import render
from tests.kubernetes.images import SIMULATOR_IMAGE

pytestmark = pytest.mark.cluster


def preflight(on: Cluster, *, wait: bool = False, said: list[str] | None = None, **more: Any) -> Preflight:
    data = {"deploy": "standalone", "model": {"name": "m"}, "load": {"image": "harness"}, **more}
    scenario = Scenario.model_validate(data)
    rendered = render(scenario, Names("abcdef", "sim", on.namespace))
    lines = said if said is not None else []
    return Preflight(on, scenario, rendered, lines.append, threading.Event(), wait)


def problems(on: Cluster, **more: Any) -> str:
    with pytest.raises(StandupError) as caught:
        preflight(on, **more).check("sim")
    return str(caught.value)


def all_gpus(cluster: Cluster) -> int:
    nodes = cluster.objects("v1", "Node")
    return max(int(node["status"]["allocatable"].get("nvidia.com/gpu", "0")) for node in nodes)


def holder(cluster: Cluster, gpus: int) -> dict[str, Any]:
    """A pod that holds GPUs."""
    container = {
        "name": "c",
        "image": SIMULATOR_IMAGE,
        "command": ["sleep", "600"],
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
    }
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    metadata = {"name": "holder", "namespace": cluster.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_an_engine_that_cannot_start_is_named_with_what_mends_it(cluster: Cluster) -> None:
    said = problems(
        cluster,
        model={"name": "meta-llama/Llama-3.3-70B-Instruct"},
        accelerator={"product": "NVIDIA-H100-80GB-HBM3"},
    )
    assert "vllm.tensor_parallel_size: 4" in said


def test_an_engine_that_cannot_start_on_the_gpu_that_all_nodes_have_is_named_as_well(cluster: Cluster) -> None:
    labels = [node["metadata"]["labels"].get("nvidia.com/gpu.product") for node in cluster.objects("v1", "Node")]
    if set(labels) != {"NVIDIA-H100-80GB-HBM3"}:
        pytest.skip(f"the nodes of this cluster have {labels}")
    said = problems(cluster, model={"name": "meta-llama/Llama-3.3-70B-Instruct"})
    assert "(pods; its GPU by the label nvidia.com/gpu.product of all nodes that could hold it) will not start" in said
    assert "vllm.tensor_parallel_size: 4" in said


def test_everything_that_is_wrong_is_listed_at_once(cluster: Cluster) -> None:
    said = problems(
        cluster,
        load={},
        huggingface={"required": True},
        storage={"pvc": "models", "storage_class": "no-such-class"},
        cluster={"image_pull_secrets": ["registry"]},
    )
    assert "nothing was created" in said
    assert "load.image is not set" in said
    assert "no Secret llm-d-hf-token" in said
    assert "no Secret registry" in said
    assert "no storage class no-such-class" in said


def test_a_namespace_that_is_not_there_is_named_with_the_way_out(reachable_cluster: str) -> None:
    said = problems(Cluster(namespace="llmdbench-no-such-namespace"))
    assert "no namespace llmdbench-no-such-namespace" in said
    assert "create_namespace" in said


def test_more_gpus_than_any_node_has_are_refused_as_impossible(cluster: Cluster) -> None:
    said = problems(cluster, pods={"gpus": all_gpus(cluster) + 1})
    assert "could never hold that" in said


def test_a_gpu_product_that_no_node_has_is_named(cluster: Cluster) -> None:
    said = problems(cluster, accelerator={"product": "Nothing-9000"})
    assert "nvidia.com/gpu.product=Nothing-9000" in said


def test_gpus_that_others_hold_are_counted_and_can_be_waited_for(cluster: Cluster) -> None:
    gpus = all_gpus(cluster)
    cluster.create(holder(cluster, 1))
    for pods in cluster.watch("v1", "Pod", None, 30):
        if pods and pods[0]["spec"].get("nodeName"):
            break
    said = problems(cluster, pods={"gpus": gpus})
    assert "--llmd-wait-for-gpus" in said
    assert "free" in said
    lines: list[str] = []
    waiting = preflight(cluster, wait=True, said=lines, pods={"gpus": gpus})
    thread = threading.Thread(target=waiting.check, args=("sim",), daemon=True)
    thread.start()
    while not lines and thread.is_alive():
        time.sleep(0.1)
    assert "waiting for" in lines[0]
    cluster.delete("v1", "Pod", "holder")
    # Others may hold GPUs of the same cluster at that moment.
    thread.join(120)
    assert not thread.is_alive()


def test_a_kind_that_the_cluster_does_not_know_is_named_with_what_brings_it(cluster: Cluster) -> None:
    if cluster.knows("inference.networking.k8s.io/v1", "InferencePool"):
        pytest.skip("this cluster has everything")
    said = problems(cluster, deploy="modelservice")
    assert "knows no InferencePool" in said
    assert "it comes with" in said


def test_a_claim_without_a_class_needs_a_default_one(cluster: Cluster) -> None:
    if cluster.objects("storage.k8s.io/v1", "StorageClass"):
        pytest.skip("this cluster has storage classes")
    assert "no default storage class" in problems(cluster, storage={"pvc": "models"})
