"""A model on a claim is filled in once, served from there, and stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.storage import COMPLETE
from tests.kubernetes.images import SIMULATOR_IMAGE
from tests.kubernetes.project import Project

pytestmark = pytest.mark.cluster

#: Serves only if the model's folder is there, by the name that it is told.
ENGINE = f"""
test -e "$1/{COMPLETE}" || {{ echo "no model in $1"; exit 9; }}
exec python3 -m pytest_llmdbench.simulator --host 0.0.0.0 --port 8000 --model "${{2#*=}}"
"""


@pytest.fixture
def volume(cluster: Cluster) -> Iterator[str]:
    """A storage class of this test with one volume, a folder of the node."""
    name = cluster.namespace
    try:
        cluster.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": name,
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": {"path": f"/var/lib/{name}", "type": "DirectoryOrCreate"},
                },
            }
        )
        cluster.create(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "kubernetes.io/no-provisioner",
            }
        )
    except ClusterError as error:
        pytest.skip(f"needs the right to make a volume: {error}")
    yield name
    cluster.delete("v1", "PersistentVolume", name)
    cluster.delete("storage.k8s.io/v1", "StorageClass", name)


def fill(cluster: Cluster, claim: str) -> None:
    """As if an earlier run had downloaded the model."""
    folder = "/models/models/org/model"
    container = {
        "name": "c",
        "image": SIMULATOR_IMAGE,
        "command": ["sh", "-c", f"mkdir -p {folder} && touch {folder}/{COMPLETE}"],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    spec = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": claim}}],
    }
    metadata = {"name": "filler", "namespace": cluster.namespace, "labels": {"made": "filler"}}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    for pods in cluster.watch("v1", "Pod", {"made": "filler"}, 60):
        if pods and pods[0]["status"].get("phase") == "Succeeded":
            return
    pytest.fail("the claim could not be filled")


def test_a_model_that_is_on_the_claim_is_served_from_there_and_the_claim_stays(
    project: Project, cluster: Cluster, volume: str
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "models", "namespace": cluster.namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": volume,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    cluster.create(claim)
    fill(cluster, "models")
    project.write(
        "sim",
        model={"name": "org/model", "tokenizer": project.tokenizer()},
        engine={"kind": "vllm", "image": SIMULATOR_IMAGE},
        pods={"gpus": 1, "cpu": "300m", "memory": "256Mi", "shm": "0", "command": ["sh", "-c", ENGINE, "engine"]},
        storage={"pvc": "models"},
    )
    status, output = project.run("--scenario=sim")
    assert status == 0, output
    assert "1 passed" in output
    assert "job sim-" in output  # the download, which finds the model there
    assert cluster.get("v1", "PersistentVolumeClaim", "models") is not None
