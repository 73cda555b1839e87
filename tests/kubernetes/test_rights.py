"""The Role in the documentation is enough, for one namespace: a run under a ServiceAccount with only that."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.startup_logs import Kept, products
from tests.kubernetes.project import Project
from tests.kubernetes.test_preflight import preflight

RBAC = Path(__file__).parents[2] / "docs" / "kubernetes-rbac.yaml"
NODES = RBAC.with_name("kubernetes-rbac-nodes.yaml")


def documents(file: Path = RBAC) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(file.read_text()) if one]


def test_the_documented_rights_are_for_one_namespace_and_never_on_secrets() -> None:
    assert {one["kind"] for one in documents()} == {"ServiceAccount", "Role", "RoleBinding"}
    role = next(one for one in documents() if one["kind"] == "Role")
    for rule in role["rules"]:
        assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
        assert "secrets" not in rule["resources"]


def test_the_documented_right_on_nodes_is_to_read_them_and_their_pods_and_no_more() -> None:
    role, binding = documents(NODES)
    assert (role["kind"], binding["kind"]) == ("ClusterRole", "ClusterRoleBinding")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list"]}]


def least(cluster: Cluster, folder: Path) -> Path:
    """A kubeconfig of the documented ServiceAccount, in the cluster's namespace."""
    for one in documents():
        one["metadata"]["namespace"] = cluster.namespace
        for subject in one.get("subjects", ()):
            subject["namespace"] = cluster.namespace
        cluster.apply(one)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "llmdbench-test",
            "namespace": cluster.namespace,
            "annotations": {"kubernetes.io/service-account.name": "llmdbench"},
        },
    }
    cluster.apply(secret)
    for secrets in cluster.watch("v1", "Secret", None, 30):
        made = [
            one for one in secrets if one["metadata"]["name"] == "llmdbench-test" and "token" in one.get("data", {})
        ]
        if made:
            break
    found = cluster.configuration
    authority = Path(found.ssl_ca_cert).read_bytes()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "least",
        "contexts": [{"name": "least", "context": {"cluster": "c", "user": "u", "namespace": cluster.namespace}}],
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": found.host, "certificate-authority-data": base64.b64encode(authority).decode()},
            }
        ],
        "users": [{"name": "u", "user": {"token": base64.b64decode(made[0]["data"]["token"]).decode()}}],
    }
    path = folder / "least.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.cluster
def test_a_whole_standalone_run_needs_no_more_than_the_documented_role(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    kubeconfig = least(cluster, tmp_path)
    status, output = project.run("--scenario=sim", env={"KUBECONFIG": str(kubeconfig)})
    assert status == 0, output
    assert "1 passed" in output
    assert "whether GPUs are free is not checked" in output


@pytest.mark.cluster
def test_what_is_missing_in_the_rights_is_listed_before_anything_is_created(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    kubeconfig = least(cluster, tmp_path)
    role = next(one for one in documents() if one["kind"] == "Role")
    rules = [rule for rule in role["rules"] if "jobs" not in rule["resources"]]
    cluster.patch("rbac.authorization.k8s.io/v1", "Role", "llmdbench", {"rules": rules})
    status, output = project.run("--scenario=sim", env={"KUBECONFIG": str(kubeconfig)})
    assert status == 1
    assert "create jobs.batch" in output.partition("no right to ")[2]
    assert "kubernetes-rbac.yaml" in output
    assert cluster.objects("apps/v1", "Deployment") == []


@pytest.mark.cluster
def test_the_gpu_of_a_node_is_known_with_the_documented_right_on_nodes_alone(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = cluster.objects("v1", "Node")[0]
    if not (product := node["metadata"]["labels"].get("nvidia.com/gpu.product")):
        pytest.skip("the nodes of this cluster name no GPU")
    kept = {"server": Kept("server.log", node["metadata"]["name"])}
    unnamed = Scenario.model_validate({"deploy": "standalone"})
    # The library reads the variable once, when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(least(cluster, tmp_path)))
    limited = Cluster()
    assert products(limited, unnamed, kept) == {}
    # Nor is anything judged by it before the standup.
    assert preflight(limited, model={"name": "meta-llama/Llama-3.3-70B-Instruct"})._memory() == []
    name = f"llmdbench-nodes-{cluster.namespace}"
    try:
        for one in documents(NODES):
            one["metadata"]["name"] = name
            if one["kind"] == "ClusterRoleBinding":
                one["roleRef"]["name"] = name
                one["subjects"][0]["namespace"] = cluster.namespace
            cluster.apply(one)
        deadline = time.monotonic() + 30  # rights are known to all of the API server a moment later
        while not (found := products(limited, unnamed, kept)) and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        for kind in ("ClusterRoleBinding", "ClusterRole"):
            cluster.delete("rbac.authorization.k8s.io/v1", kind, name)
    assert [(role, one.name) for role, one in found.items()] == [("pods", product)]
