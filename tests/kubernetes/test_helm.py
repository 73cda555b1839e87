"""Helm releases that go with the run: the program, what it is given, and what is left."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from pytest_llmdbench.declared.router import Chart
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.helm import Helm
from pytest_llmdbench.stacks.kubernetes.names import OURS, ROLE, RUN, Names
from pytest_llmdbench.stacks.kubernetes.rendered import Release
from pytest_llmdbench.stacks.kubernetes.sealed import sealed, write_chart
from pytest_llmdbench.stacks.processes import mark
from tests.kubernetes.conftest import SIMULATOR_IMAGE

NAMES: Final = Names("x7k2m9", "h100", "bench", {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "0"})
needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="needs helm on the PATH")

DEPLOYMENT: Final = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: 1
  selector:
    matchLabels: {app: {{ .Release.Name }}}
  template:
    metadata:
      labels: {app: {{ .Release.Name }}, llm-d.ai/role: decode}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: vllm
          image: {{ .Values.image }}
          imagePullPolicy: IfNotPresent
          command: [python3, -m, pytest_llmdbench.simulator, --host=0.0.0.0, --port=8000]
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  braces: {{ "{{ not a template }}" | quote }}
  number: "1e3"
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-hook
  annotations: {helm.sh/hook: post-install}
"""


def chart(folder: Path, templates: str = DEPLOYMENT) -> Chart:
    (folder / "own" / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": "own-chart", "version": "v1.2.3"}
    (folder / "own" / "Chart.yaml").write_text(yaml.safe_dump(about))
    (folder / "own" / "templates" / "all.yaml").write_text(templates)
    return Chart(chart=str(folder / "own"))


def program(folder: Path, script: str) -> None:
    """A ``helm`` of the test's own."""
    helm = folder / "helm"
    helm.write_text(f"#!/bin/sh\n{script}\n")
    helm.chmod(0o755)


def test_without_helm_the_error_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StandupError, match=r"3\.13 or later, or 4.*https://helm\.sh"):
        Helm.find()


@pytest.mark.parametrize("version", ["v2.17.0+ga690bad", "v3.12.3+g3a31588", "v5.0.0", "nonsense"])
def test_a_helm_that_is_not_supported_is_refused(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, f"echo {version}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StandupError, match=r"supported is 3\.13 or later, or 4"):
        Helm.find()


@pytest.mark.parametrize("version", ["v3.13.0+g825e86f", "v3.19.0+g3d8990f", "v4.0.1+g12500dd"])
def test_the_version_is_stated(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, f"echo {version}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Helm.find().version == version


def test_what_helm_says_of_a_failure_is_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, 'case $1 in version) echo v3.19.0;; *) echo "Error: no such chart" >&2; exit 1;; esac')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StandupError, match=r"helm template one failed with exit code 1\n    Error: no such chart"):
        Helm.find().template(Release("one", Chart(chart="oci://registry.invalid/chart", version="v1"), {}), NAMES)


def test_repository_version_and_values_are_given_to_helm_and_no_secret_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    program(tmp_path, f'case $1 in version) echo v3.19.0;; *) echo "$@" > {tmp_path}/said;; esac')
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = Chart(chart="llm-d-infra", repository="https://charts.invalid/", version="v1.4.0")
    assert Helm.find().template(Release("one", asked, {"a": 1}), NAMES) == []
    said = (tmp_path / "said").read_text()
    assert said.startswith("template one llm-d-infra --repo https://charts.invalid/ --version v1.4.0 --namespace bench")
    assert "hf_planted" not in said


def test_helm_carries_the_mark_by_which_what_a_run_started_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, 'case $1 in version) echo v3.19.0;; *) echo "marked $LLMDBENCH_GUARD" >&2; exit 1;; esac')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StandupError, match=f"marked {mark()}"):
        Helm.find().template(Release("one", Chart(chart="oci://registry.invalid/chart"), {}), NAMES)


def test_pods_made_from_an_object_carry_the_stacks_labels() -> None:
    template = {"metadata": {"labels": {"llm-d.ai/role": "decode"}}, "spec": {}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"template": template},
    }
    group: dict[str, Any] = {"leaderWorkerTemplate": {"workerTemplate": {"spec": {}}}}
    workers = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "metadata": {"name": "w"}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [deployment, workers | {"spec": group}]}
    first, second = sealed(json.dumps(listed), NAMES, "one")
    labels = first["spec"]["template"]["metadata"]["labels"]
    assert labels == {"llm-d.ai/role": "decode", ROLE: "decode", **NAMES.labels}
    assert second["spec"]["leaderWorkerTemplate"]["workerTemplate"]["metadata"]["labels"] == NAMES.labels
    assert first["metadata"]["ownerReferences"] == second["metadata"]["ownerReferences"] == [NAMES.owner]


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"kind": "ClusterRole", "metadata": {"name": "reader"}}, "ClusterRole reader, which belongs to no namespace"),
        ({"kind": "Role", "metadata": {"name": "r", "namespace": "monitoring"}}, "Role r in namespace monitoring"),
    ],
)
def test_a_chart_that_would_make_what_outlives_the_run_is_refused(what: dict[str, Any], why: str) -> None:
    with pytest.raises(StandupError, match=rf"release one would make {why}.*charts\.\*\.values"):
        sealed(json.dumps({"apiVersion": "rbac.authorization.k8s.io/v1", **what}), NAMES, "one")


@needs_helm
def test_what_is_installed_is_what_was_rendered_down_to_braces_and_numbers(tmp_path: Path) -> None:
    helm, own = Helm.find(), chart(tmp_path)
    objects = helm.template(Release("one", own, {"image": "i"}), NAMES)
    write_chart(tmp_path / "sealed", own, objects)
    again = helm.template(Release("one", Chart(chart=str(tmp_path / "sealed")), {}), NAMES)
    assert sorted(map(str, again)) == sorted(map(str, objects))
    data = next(one["data"] for one in again if "data" in one)
    assert data == {"braces": "{{ not a template }}", "number": "1e3"}
    about = yaml.safe_load((tmp_path / "sealed" / "Chart.yaml").read_text())
    assert (about["name"], about["version"]) == ("own-chart", "v1.2.3")


@pytest.fixture
def owner(cluster: Cluster) -> dict[str, Any]:
    made = cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": made["metadata"]["uid"]}


def objects_of(cluster: Cluster, run: str) -> dict[str, dict[str, Any]]:
    """Everything of a run, pods and the release's Secret included, by kind and name."""
    kinds = [("apps/v1", "Deployment"), ("apps/v1", "ReplicaSet"), ("v1", "Pod"), ("v1", "ConfigMap"), ("v1", "Secret")]
    found = [one for kind in kinds for one in cluster.objects(*kind, {**OURS, RUN: run})]
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in found}


def gone(cluster: Cluster, run: str) -> None:
    deadline = time.monotonic() + 120
    while left := objects_of(cluster, run):
        assert time.monotonic() < deadline, list(left)
        time.sleep(0.2)


@needs_helm
@pytest.mark.cluster
def test_a_release_of_a_chart_of_our_own_belongs_to_its_owner_and_goes_with_it(
    cluster: Cluster, owner: dict[str, Any], tmp_path: Path
) -> None:
    own = Names("x7k2m9", "h100", cluster.namespace, owner)
    said: list[str] = []
    Helm.find().install(Release(own.name("ms"), chart(tmp_path), {"image": SIMULATOR_IMAGE}), own, cluster, said.append)
    assert "own" in said[0]
    made = objects_of(cluster, own.run)
    (secret,) = [one for name, one in made.items() if name.startswith("Secret/")]
    assert secret["type"] == "helm.sh/release.v1"
    assert secret["metadata"]["labels"]["status"] == "deployed"
    assert {f"Deployment/{own.name('ms')}", f"ConfigMap/{own.name('ms')}", f"ConfigMap/{own.name('ms')}-hook"} <= set(
        made
    )
    for name, one in made.items():
        if not name.startswith(("Pod/", "ReplicaSet/")):
            assert one["metadata"]["ownerReferences"] == [owner], name
    for pods in cluster.watch("v1", "Pod", own.selector("decode"), 60):
        if pods and pods[0]["status"].get("containerStatuses", [{}])[0].get("ready"):
            break
    else:
        pytest.fail("its pod was not Ready within a minute")

    cluster.delete("v1", "ConfigMap", "owner")
    gone(cluster, own.run)


@needs_helm
@pytest.mark.cluster
def test_uninstalling_a_release_of_a_chart_of_our_own_leaves_nothing_and_may_be_done_twice(
    cluster: Cluster, owner: dict[str, Any], tmp_path: Path
) -> None:
    own = Names("x7k2m9", "h100", cluster.namespace, owner)
    helm, release = Helm.find(), Release(own.name("ms"), chart(tmp_path), {"image": SIMULATOR_IMAGE})
    helm.install(release, own, cluster)
    for _ in range(2):
        helm.uninstall(release, own, cluster)
    # Helm leaves hooks; their owner takes them along.
    cluster.delete("v1", "ConfigMap", "owner")
    gone(cluster, own.run)


@needs_helm
@pytest.mark.cluster
def test_the_secret_of_a_release_that_failed_belongs_to_the_owner_too(
    cluster: Cluster, owner: dict[str, Any], tmp_path: Path
) -> None:
    own = Names("x7k2m9", "h100", cluster.namespace, owner)
    ports = [{"port": 99999, "protocol": "TCP"}]
    broken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}}
    release = Release(own.name("ms"), chart(tmp_path, json.dumps(broken)), {})
    with pytest.raises(StandupError, match=r"helm install h100-x7k2m9-ms failed[\s\S]*99999"):
        Helm.find().install(release, own, cluster)
    (secret,) = objects_of(cluster, own.run).values()
    assert secret["metadata"]["labels"]["status"] == "failed"
    assert secret["metadata"]["ownerReferences"] == [owner]
