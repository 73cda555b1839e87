"""Which GPU an engine is on is found out where its scenario does not say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.products import is_unnamed, product_of_log, product_of_node
from pytest_llmdbench.declared.cluster import Accelerator


@pytest.mark.parametrize(
    ("labels", "gpu"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}, "H100-SXM-80GB"),
        ({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}, "A100-40GB"),
        ({"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, "MI300X"),
        ({"cloud.google.com/gke-accelerator": "nvidia-l4"}, "L4"),
        ({"gpu.nvidia.com/class": "H200"}, "H200-SXM-141GB"),
    ],
)
def test_labels_of_nodes_name_a_gpu_that_is_known(labels: dict[str, str], gpu: str) -> None:
    found = product_of_node({"kubernetes.io/arch": "amd64", **labels}, Accelerator(), "its node")
    assert found is not None
    assert find_gpu(found.name).name == gpu
    assert found.source == f"by the label {next(iter(labels))} of its node"


def test_the_label_that_the_scenario_names_is_asked_first() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4", "example.com/gpu": "NVIDIA-L40S"}
    found = product_of_node(labels, Accelerator(label="example.com/gpu"), "its node")
    assert found is not None
    assert found.name == "NVIDIA-L40S"
    assert product_of_node({"kubernetes.io/arch": "amd64"}, Accelerator(), "its node") is None


@pytest.mark.parametrize(
    ("line", "gpu"),
    [
        ("Using configuration from /v/configs/E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json", "H100-SXM-80GB"),
        (
            "Config file not found at ['/v/configs/E=128,N=384,device_name=NVIDIA_H200,dtype=fp8_w8a8.json']",
            "H200-SXM-141GB",
        ),
        ("Config file not found at /v/configs/E=8,N=4096,device_name=AMD_Instinct_MI325X.json", "MI325X"),
        ("at N=2112,K=7168,device_name=NVIDIA_A100-SXM4-80GB,dtype=fp8_w8a8,block_shape=[128,128].json", "A100-80GB"),
    ],
)
def test_a_log_that_names_the_device_of_a_tuned_kernel_names_the_gpu(tmp_path: Path, line: str, gpu: str) -> None:
    log = tmp_path / "engine.log"
    log.write_text(f"INFO 11-20 hello\nWARNING 11-20 10:00:00 [fused_moe.py:1] {line}\n", encoding="utf-8")
    found = product_of_log(log)
    assert found is not None
    assert find_gpu(found.name).name == gpu
    assert found.source == "by its own log"


def test_a_log_without_a_device_or_none_at_all_names_no_gpu(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(b"\xff INFO device_name=\n" + b"device_name=" + b"x" * 5000 + b".json\n")
    assert product_of_log(log) is None
    assert product_of_log(tmp_path / "none.log") is None


@pytest.mark.parametrize(
    ("changes", "unnamed"),
    [
        ({}, True),
        ({"resource": "amd.com/gpu"}, True),
        ({"product": "NVIDIA-L4"}, False),
        ({"resource": "nvidia.com/mig-1g.10gb"}, False),
        ({"resource": "nvidia.com/gpu.shared"}, False),
    ],
)
def test_a_part_of_a_gpu_is_not_taken_for_the_whole_of_it(changes: dict[str, Any], unnamed: bool) -> None:
    assert is_unnamed(Accelerator(**changes)) == unnamed
