"""Where a cluster tells of its GPUs: NVIDIA's dcgm-exporter, a pod on each node, in whichever namespace it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_llmdbench.results.server_metrics.scraped import Target
from pytest_llmdbench.results.server_metrics.summary import GPU
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.scrape_targets import alive, named_port, of_pod

#: What its pods are labelled with: by NVIDIA's operator, by its own chart, by GKE.
LABELS: Final[Sequence[Mapping[str, str]]] = (
    {"app": "nvidia-dcgm-exporter"},
    {"app.kubernetes.io/name": "dcgm-exporter"},
    {"app.kubernetes.io/name": "gke-managed-dcgm-exporter"},
)
PORT: Final = 9400


def exporters(cluster: Cluster, nodes: frozenset[str]) -> list[Target]:
    """The exporters on these nodes: of all namespaces where we may look there, else of our own. Raises ClusterError."""
    found: dict[str, Target] = {}
    for labels in LABELS:
        for pod in _pods(cluster, labels):
            node = pod["spec"].get("nodeName")
            if node in nodes and alive(pod):
                target, _ = of_pod(pod, GPU, named_port(pod, "metrics", PORT))
                found[pod["metadata"]["uid"]] = Target(f"GPUs of {node}", GPU, target.url, target.pod)
    return list(found.values())


def _pods(cluster: Cluster, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    try:
        return cluster.objects("v1", "Pod", labels, everywhere=True)
    except ClusterError as error:
        if error.status != 403:
            raise
        return cluster.objects("v1", "Pod", labels)
