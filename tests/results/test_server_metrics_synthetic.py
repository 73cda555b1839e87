"""An endpoint picker's and an exporter's metrics, by texts that were written for these tests: neither runs here.

Names, labels and types are those that llm-d's router and NVIDIA's dcgm-exporter document.
"""

from __future__ import annotations

import pytest

from tests.results.server_metrics_made import engine, told, watched


def picker(prefix: str, *, requests: int, queued: int, fast: int, ready: str = "ready_endpoints") -> str:
    """A synthetic text of an endpoint picker."""
    seconds = f"{prefix}scheduler_e2e_duration_seconds"
    return (
        f'{prefix}average_kv_cache_utilization{{name="pool"}} 0.25\n'
        f'{prefix}average_queue_size{{name="pool"}} {queued / 2}\n'
        f'{prefix}{ready}{{name="pool"}} 2\n'
        f'{prefix}flow_control_queue_size{{fairness_id="x",inference_pool="pool",priority="0"}} {queued}\n'
        f'{prefix}flow_control_queue_size{{fairness_id="y",inference_pool="pool",priority="1"}} 1\n'
        f'{prefix}flow_control_pool_saturation{{inference_pool="pool"}} 0.75\n'
        f'{prefix}request_total{{model_name="m",priority="0",target_model_name="m"}} {requests}\n'
        f'{prefix}request_error_total{{error_code="ServiceUnavailable",model_name="m"}} {requests // 10}\n'
        f'{prefix}disagg_decision_total{{decision_type="prefill-decode",model_name="m"}} {requests}\n'
        f'{prefix}scheduler_attempts_total{{endpoint_name="a",status="success"}} {requests}\n'
        f'{seconds}_bucket{{le="0.0001"}} {fast}\n{seconds}_bucket{{le="+Inf"}} {requests}\n'
        f"{seconds}_sum {requests * 0.0001}\n{seconds}_count {requests}\n"
    )


@pytest.mark.parametrize("prefix", ["llm_d_epp_", "llm_d_router_epp_"])
def test_a_synthetic_pickers_queue_pool_and_decisions_are_read_under_its_new_names(prefix: str) -> None:
    texts = [picker(prefix, requests=n, queued=q, fast=n) for n, q in ((100, 0), (160, 5), (200, 0))]
    work = [engine(generation_tokens_total=tokens) for tokens in (0, 10, 20)]
    data = told(watched("engine", work), watched("picker", texts, "picker", "epp-0"))
    totals = data["totals"]
    assert totals["picker_requests"] == totals["picker_decisions.prefill-decode"] == totals["picker_attempts"] == 100
    assert totals["picker_errors.ServiceUnavailable"] == 10
    assert totals["picker_queue.max"] == 6
    assert (totals["pool_waiting.max"], totals["pool_kv_cache_usage.mean"], totals["pool_ready_pods.min"]) == (
        2.5,
        0.25,
        2,
    )
    assert totals["pool_saturation.max"] == 0.75
    assert totals["scheduling_time.mean"] == pytest.approx(0.0001)
    assert data["roles"]["picker"]["picker_requests"] == 100


def test_a_synthetic_pickers_old_names_are_read() -> None:
    text = (
        'inference_pool_average_kv_cache_utilization{name="pool"} 0.5\n'
        'inference_pool_average_queue_size{name="pool"} 1\n'
        'inference_pool_ready_pods{name="pool"} 3\n'
        "inference_extension_flow_control_queue_size 4\n"
        "inference_objective_running_requests 7\n"
        'llm_d_inference_scheduler_pd_decision_total{decision_type="decode-only"} 2\n'
    )
    totals = told(watched("picker", [text], "picker"))["totals"]
    found = (
        "pool_kv_cache_usage.max",
        "pool_waiting.max",
        "pool_ready_pods.max",
        "picker_queue.max",
        "picker_running.max",
    )
    assert [totals[name] for name in found] == [0.5, 1, 3, 4, 7]
    assert totals["picker_decisions.decode-only"] == 0


def exporter(*gpus: tuple[str, float], energy: float = 0) -> str:
    """A synthetic text of a dcgm-exporter: pod (empty for none) and utilization in percent of each GPU."""
    lines = []
    for number, (pod, percent) in enumerate(gpus):
        labels = f'gpu="{number}",UUID="GPU-{number}",modelName="NVIDIA H100 80GB HBM3",Hostname="n1"'
        labels += f',container="vllm",namespace="bench",pod="{pod}"' if pod else ""
        lines += [
            f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} {percent}",
            f"DCGM_FI_DEV_FB_USED{{{labels}}} 1024",
            f"DCGM_FI_DEV_POWER_USAGE{{{labels}}} 300.5",
            f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{labels}}} {energy}",
        ]
    return "".join(f"{line}\n" for line in lines)


def test_a_synthetic_exporters_gpus_are_counted_to_the_pod_that_uses_them() -> None:
    pod = watched("pod-0", [engine(num_requests_running=1)] * 2, "decode", "pod-0")
    texts = [exporter(("pod-0", 80), ("pod-0", 60), ("somebodys", 10), ("", 0), energy=e) for e in (5e6, 6e6)]
    data = told(pod, watched("GPUs of n1", texts, "gpu", "exporter-n1"))
    assert [one["label"] for one in data["components"]] == ["pod-0"]
    gpus = data["components"][0]["aggregate"]
    assert gpus["gpu_utilization"]["mean"] == pytest.approx(0.7)
    assert gpus["gpu_utilization"]["max"] == 0.8
    assert gpus["gpu_memory"]["max"] == 2 * 1024 * 2**20
    assert gpus["gpu_power"]["mean"] == 601
    assert gpus["gpu_energy"]["increase"] == 2 * 1000
    assert [one["labels"]["gpu"] for one in gpus["gpu_utilization"]["by"]] == ["0", "1"]


def test_a_synthetic_exporter_that_knows_no_pods_tells_of_its_node() -> None:
    pod = watched("pod-0", [engine(num_requests_running=1)], "decode", "pod-0")
    data = told(pod, watched("GPUs of n1", [exporter(("", 50))], "gpu", "exporter-n1"))
    assert [(one["label"], one["role"]) for one in data["components"]] == [("pod-0", "decode"), ("GPUs of n1", "gpu")]
    assert data["totals"]["gpu_utilization.mean"] == 0.5


def test_gpus_that_others_use_are_nobodys_here() -> None:
    pod = watched("pod-0", [engine(num_requests_running=1)], "decode", "pod-0")
    data = told(pod, watched("GPUs of n1", [exporter(("somebodys", 50))], "gpu", "exporter-n1"))
    assert not [name for name in data["totals"] if name.startswith("gpu")]
