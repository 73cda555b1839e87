"""What a chart renders, made the run's own before Helm installs it: labelled, owned, in the namespace. Pure.

Helm installs a chart that holds the finished objects and nothing else. So hooks are owned too, a dry run shows exactly
what a run installs, and it is the same with Helm 3 and 4, whose post-renderers are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_llmdbench.declared.router import Chart
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.names import ROLE, Names

#: Set by llm-d's chart on serving pods.
_LLMD_ROLE: Final = "llm-d.ai/role"
#: Kinds that belong to no namespace: an owner in one cannot take them along.
CLUSTER_WIDE: Final = frozenset(
    {
        "APIService", "ClusterRole", "ClusterRoleBinding", "CSIDriver", "CustomResourceDefinition", "DeviceClass",
        "GatewayClass", "IngressClass", "MutatingWebhookConfiguration", "Namespace", "PersistentVolume",
        "PriorityClass", "RuntimeClass", "SecurityContextConstraints", "StorageClass",
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
    }
)  # fmt: skip
_WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")


def sealed(text: str, names: Names, release: str) -> list[dict[str, Any]]:
    """The objects in what ``helm template`` wrote, with the stack's labels and owner, pods' templates labelled too.

    Raises:
        StandupError: an object would be outside the stack's namespace and so outlive the run.
    """
    return [_seal(one, names, release) for one in _objects(yaml.safe_load_all(text))]


def write_chart(folder: Path, chart: Chart, objects: Iterable[Mapping[str, Any]]) -> None:
    """A chart of finished objects, with the name and version of the one that they were rendered from."""
    name, version = _identity(chart)
    (folder / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": name, "version": version, "description": "rendered by pytest-llmdbench"}
    (folder / "Chart.yaml").write_text(json.dumps(about), encoding="utf-8")
    # JSON, for Helm and Python do not agree on which texts YAML takes for numbers.
    documents = "\n---\n".join(json.dumps(one, indent=1, default=str) for one in objects)
    (folder / "objects.yaml").write_text(documents, encoding="utf-8")
    (folder / "templates" / "objects.yaml").write_text('{{ .Files.Get "objects.yaml" }}', encoding="utf-8")


def is_folder(chart: Chart) -> bool:
    """Whether the chart is a folder or an archive on this machine."""
    return chart.repository is None and not chart.chart.startswith("oci://")


def _identity(chart: Chart) -> tuple[str, str]:
    about = Path(chart.chart).expanduser() / "Chart.yaml"
    if is_folder(chart) and about.is_file():
        said = yaml.safe_load(about.read_text(encoding="utf-8"))
        return str(said["name"]), str(said["version"])
    return chart.chart.rstrip("/").rpartition("/")[2], chart.version or "0.0.0"


def _objects(documents: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Each object by itself, those inside of lists too."""
    for one in documents:
        if isinstance(one, dict) and str(one.get("kind", "")).endswith("List") and "items" in one:
            yield from _objects(one["items"])
        elif one:
            yield one


def _seal(manifest: dict[str, Any], names: Names, release: str) -> dict[str, Any]:
    what = f"{manifest['kind']} {manifest['metadata'].get('name', '')}"
    if manifest["kind"] in CLUSTER_WIDE:
        raise StandupError(
            f"release {release} would make {what}, which belongs to no namespace and so would outlive the run: turn it "
            "off in the values of its chart (charts.*.values), or have it made once for all"
        )
    elsewhere = manifest["metadata"].get("namespace", names.namespace)
    if elsewhere != names.namespace:
        raise StandupError(
            f"release {release} would make {what} in namespace {elsewhere} and not in {names.namespace}, so that it "
            "would outlive the run: change the values of its chart (charts.*.values)"
        )
    made = names.owned(manifest)
    for template in _pod_templates(made):
        metadata = template.setdefault("metadata", {})
        labels = metadata.get("labels") or {}
        role = {ROLE: labels[_LLMD_ROLE]} if _LLMD_ROLE in labels else {}
        metadata["labels"] = {**role, **labels, **names.labels}
    return made


def _pod_templates(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The templates from which others make pods; what is made from one can be told by its labels alone."""
    kind, spec = manifest["kind"], manifest.get("spec") or {}
    if kind in _WORKLOADS:
        return [spec["template"]]
    if kind == "CronJob":
        return [spec["jobTemplate"]["spec"]["template"]]
    if kind == "LeaderWorkerSet":
        both = spec["leaderWorkerTemplate"]
        return [both[name] for name in ("leaderTemplate", "workerTemplate") if name in both]
    return []
