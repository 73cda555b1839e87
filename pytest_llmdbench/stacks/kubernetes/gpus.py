"""Which GPUs of a cluster are free, and whether a stack's pods find a place on them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmdbench.capacity.products import Product, product_of_node
from pytest_llmdbench.declared.cluster import Accelerator


@dataclass(frozen=True, slots=True)
class Room:
    """GPUs of one node."""

    node: str
    total: int
    free: int


def rooms(
    nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]], accelerator: Accelerator,
    selector: Mapping[str, str],
) -> list[Room]:  # fmt: skip
    """The nodes that a pod with this node selector could go to, with what is free there.

    A pod takes GPUs from when it has a node until it has ended; cordoned nodes and nodes that are not Ready have none.
    """
    wanted = dict(selector)
    if accelerator.product:
        wanted[accelerator.label] = accelerator.product
    taken: dict[str, int] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            taken[node] = taken.get(node, 0) + _asked(pod, accelerator.resource)
    found = []
    for node in nodes:
        name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
        total = int((node["status"].get("allocatable") or {}).get(accelerator.resource, "0"))
        usable = not node["spec"].get("unschedulable") and _is_ready(node)
        if total and usable and all(labels.get(key) == value for key, value in wanted.items()):
            found.append(Room(name, total, max(0, total - taken.get(name, 0))))
    return found


def fits(rooms: Sequence[Room], sizes: Iterable[int], *, whole: bool = False) -> bool:
    """Whether pods of these sizes find a place together, the largest placed first."""
    free = sorted((room.total if whole else room.free for room in rooms), reverse=True)
    for size in sorted((one for one in sizes if one), reverse=True):
        best = next((index for index in reversed(range(len(free))) if free[index] >= size), None)
        if best is None:
            return False
        free[best] -= size
        free.sort(reverse=True)
    return True


def common_product(
    nodes: Sequence[Mapping[str, Any]], accelerator: Accelerator, selector: Mapping[str, str], size: int
) -> Product | None:
    """The GPU of all nodes that could hold a pod of so many; None where they differ, or one of them does not say."""
    able = {room.node for room in rooms(nodes, (), accelerator, selector) if room.total >= size}
    labels = (node["metadata"].get("labels") or {} for node in nodes if node["metadata"]["name"] in able)
    found = {product_of_node(one, accelerator, "all nodes that could hold it") for one in labels}
    return found.pop() if len(found) == 1 else None


def _asked(pod: Mapping[str, Any], resource: str) -> int:
    spec = pod["spec"]

    def amount(container: Mapping[str, Any]) -> int:
        resources = container.get("resources") or {}
        return int((resources.get("limits") or resources.get("requests") or {}).get(resource, "0"))

    running = sum(amount(one) for one in spec.get("containers", ()))
    return max(running, *(amount(one) for one in spec.get("initContainers") or ()), 0)


def _is_ready(node: Mapping[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ()))
