"""Whether GPUs are free is known before anything is created."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdbench.declared.cluster import Accelerator
from pytest_llmdbench.stacks.kubernetes.gpus import Room, common_product, fits, rooms

H100 = "NVIDIA-H100-80GB-HBM3"


def node(name: str, gpus: int, product: str = H100, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"nvidia.com/gpu.product": product, **more.get("labels", {})}},
        "spec": {"unschedulable": more.get("cordoned", False)},
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus)},
            "conditions": [{"type": "Ready", "status": more.get("ready", "True")}],
        },
    }


def pod(on: str | None, gpus: int, phase: str = "Running") -> dict[str, Any]:
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}}
    return {"spec": {"nodeName": on, "containers": [{"resources": resources}]}, "status": {"phase": phase}}


def test_gpus_of_running_and_starting_pods_are_taken_and_those_of_ended_ones_are_free() -> None:
    pods = [pod("a", 2), pod("a", 1, "Pending"), pod("a", 4, "Succeeded"), pod(None, 8, "Pending")]
    assert rooms([node("a", 8)], pods, Accelerator(), {}) == [Room("a", 8, 5)]


def test_only_nodes_with_the_product_count() -> None:
    nodes = [node("a", 8), node("b", 8, "NVIDIA-A100-SXM4-80GB")]
    assert [room.node for room in rooms(nodes, [], Accelerator(product=H100), {})] == ["a"]


def test_only_nodes_with_the_scenarios_labels_count() -> None:
    nodes = [node("a", 8), node("b", 8, labels={"pool": "bench"})]
    assert [room.node for room in rooms(nodes, [], Accelerator(), {"pool": "bench"})] == ["b"]


def test_cordoned_and_unready_nodes_have_nothing() -> None:
    assert rooms([node("a", 8, cordoned=True), node("b", 8, ready="Unknown")], [], Accelerator(), {}) == []


@pytest.mark.parametrize(
    ("free", "sizes", "possible"),
    [
        ([8], [8], True),
        ([4, 4], [8], False),
        ([4, 4], [4, 4], True),
        ([5, 3], [3, 3, 2], True),
        ([8], [4, 4, 1], False),
        ([2], [], True),
        ([], [1], False),
    ],
)
def test_pods_are_not_spread_over_nodes(free: list[int], sizes: list[int], possible: bool) -> None:
    assert fits([Room(str(index), 8, one) for index, one in enumerate(free)], sizes) is possible


def test_what_would_fit_an_empty_cluster_is_told_from_what_never_fits() -> None:
    busy = [Room("a", 8, 0)]
    assert not fits(busy, [8])
    assert fits(busy, [8], whole=True)
    assert not fits(busy, [9], whole=True)


def test_nodes_that_could_hold_a_pod_tell_its_gpu_only_where_all_have_the_same() -> None:
    nodes = [node("a", 8), node("b", 8), node("small", 1, "NVIDIA-L4"), node("off", 8, "NVIDIA-B200", cordoned=True)]
    found = common_product(nodes, Accelerator(), {}, 4)
    assert found is not None
    assert (found.name, found.source) == (H100, "by the label nvidia.com/gpu.product of all nodes that could hold it")
    assert common_product(nodes, Accelerator(), {}, 1) is None
    unsaid = node("c", 8)
    del unsaid["metadata"]["labels"]["nvidia.com/gpu.product"]
    assert common_product([*nodes, unsaid], Accelerator(), {}, 4) is None
    assert common_product(nodes, Accelerator(), {"pool": "none"}, 4) is None


def test_nodes_that_are_busy_now_count_among_those_that_could_hold_a_pod() -> None:
    nodes = [node("a", 8), node("b", 8, "NVIDIA-B200", labels={"pool": "new"})]
    assert common_product(nodes, Accelerator(), {}, 8) is None
    found = common_product(nodes, Accelerator(), {"pool": "new"}, 8)
    assert found is not None
    assert found.name == "NVIDIA-B200"
