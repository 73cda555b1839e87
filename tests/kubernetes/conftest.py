"""A namespace of its own on a real cluster for each test that asks for one; any kubeconfig will do."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from tests.kubernetes.chart_folders import FOLDERS
from tests.kubernetes.images import HARNESS_IMAGE, SIMULATOR_IMAGE
from tests.kubernetes.project import Project, make_project

__all__ = ["HARNESS_IMAGE", "SIMULATOR_IMAGE"]


@pytest.fixture(scope="session")
def reachable_cluster() -> str:
    """The version of a cluster that answers; without one the test is skipped, or fails where one is required."""
    try:
        cluster = Cluster()
        cluster.patience_s = 5
        return cluster.version()
    except ClusterError as error:
        if os.environ.get("LLMDBENCH_TEST_CLUSTER") == "required":
            pytest.fail(f"LLMDBENCH_TEST_CLUSTER=required, but {error}")
        pytest.skip(f"needs a Kubernetes cluster: {str(error).splitlines()[0]}")


@pytest.fixture
def namespace(reachable_cluster: str) -> Iterator[str]:
    """A namespace that is gone after the test."""
    name = f"llmdbench-test-{secrets.token_hex(3)}"
    cluster = Cluster(namespace=name)
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    # Pods cannot be made before the controller has made this.
    for accounts in cluster.watch("v1", "ServiceAccount", None, 30):
        if accounts:
            break
    yield name
    cluster.delete("v1", "Namespace", name)


@pytest.fixture
def cluster(namespace: str) -> Cluster:
    """A cluster, in a namespace of this test."""
    return Cluster(namespace=namespace)


@pytest.fixture
def project(tmp_path: Path, namespace: str) -> Project:
    """A project of benchmarks whose scenario ``sim`` runs in the test's namespace."""
    return make_project(tmp_path, namespace)


@pytest.fixture(scope="session")
def charts() -> Path:
    """The folder with the charts; without one, or without helm, these tests are skipped."""
    folder = os.environ.get("LLMDBENCH_TEST_CHARTS")
    if not folder:
        pytest.skip("needs the llm-d charts: run .ci/charts DIR and set LLMDBENCH_TEST_CHARTS=DIR")
    if shutil.which("helm") is None:
        pytest.skip("needs helm on the PATH")
    missing = [name for name in FOLDERS.values() if not (Path(folder) / name / "Chart.yaml").is_file()]
    assert not missing, f"LLMDBENCH_TEST_CHARTS={folder} has no {', '.join(missing)}: run .ci/charts {folder}"
    return Path(folder)
