"""Which of a server's metrics is which canonical one: the one table of Prometheus names.

vLLM's names are those of its 0.6 to 0.33; the endpoint picker's those of llm-d's router (``llm_d_epp_*``, before that
``llm_d_router_epp_*``) and of the Gateway API Inference Extension (``inference_*``); the GPUs' those of NVIDIA's
dcgm-exporter. The embedded simulator has vLLM's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

#: ``counter``: only rises, its increase counts; ``gauge``: goes up and down; ``histogram``: counters by bucket.
Kind = Literal["counter", "gauge", "histogram"]
#: How the series of one metric that differ in labels alone (ranks of an engine, GPUs of a pod) become one number.
Combine = Literal["sum", "mean", "max"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One canonical metric.

    ``names`` are what servers call it, the preferred one first: a server may offer the same thing under an old and a
    new name at once, and it is taken once. ``scale`` makes a server's number canonical: seconds, tokens, requests,
    bytes, watts, joules, fractions of 1. ``split`` is a label by whose values a counter is told apart in totals too.
    """

    canonical: str
    kind: Kind
    unit: str
    names: tuple[str, ...]
    combine: Combine = "sum"
    scale: float = 1.0
    split: str = ""


def _picker(new: str, middle: str | None, *old: str) -> tuple[str, ...]:
    """The names of a picker's metric in llm-d's router now and before, and in what it was made from."""
    return (f"llm_d_epp_{new}", f"llm_d_router_epp_{middle or new}", *old)


_ENGINE: Final = (
    Metric("running", "gauge", "requests", ("vllm:num_requests_running",)),
    Metric("waiting", "gauge", "requests", ("vllm:num_requests_waiting",)),
    Metric("swapped", "gauge", "requests", ("vllm:num_requests_swapped",)),
    Metric("kv_cache_usage", "gauge", "fraction", ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"), "mean"),
    Metric("cpu_cache_usage", "gauge", "fraction", ("vllm:cpu_cache_usage_perc",), "mean"),
    Metric("prompt_tokens", "counter", "tokens", ("vllm:prompt_tokens_total",)),
    Metric("prompt_tokens_by_source", "counter", "tokens", ("vllm:prompt_tokens_by_source_total",), split="source"),
    Metric("generation_tokens", "counter", "tokens", ("vllm:generation_tokens_total",)),
    Metric(
        "prefix_cache_queries", "counter", "tokens",
        ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    ),
    Metric(
        "prefix_cache_hits", "counter", "tokens",
        ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    ),
    Metric("external_prefix_cache_queries", "counter", "tokens", ("vllm:external_prefix_cache_queries_total",)),
    Metric("external_prefix_cache_hits", "counter", "tokens", ("vllm:external_prefix_cache_hits_total",)),
    Metric("preemptions", "counter", "preemptions", ("vllm:num_preemptions_total",)),
    Metric("requests_finished", "counter", "requests", ("vllm:request_success_total",), split="finished_reason"),
    Metric("ttft", "histogram", "s", ("vllm:time_to_first_token_seconds",)),
    # The old name says "per output token" and was fed with the gaps between two steps, as the new one is.
    Metric("itl", "histogram", "s", ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")),
    Metric("tpot", "histogram", "s", ("vllm:request_time_per_output_token_seconds",)),
    Metric("e2e", "histogram", "s", ("vllm:e2e_request_latency_seconds",)),
    Metric("queue_time", "histogram", "s", ("vllm:request_queue_time_seconds",)),
    Metric("prefill_time", "histogram", "s", ("vllm:request_prefill_time_seconds",)),
    Metric("decode_time", "histogram", "s", ("vllm:request_decode_time_seconds",)),
    Metric("inference_time", "histogram", "s", ("vllm:request_inference_time_seconds",)),
    Metric("prompt_length", "histogram", "tokens", ("vllm:request_prompt_tokens",)),
    Metric("output_length", "histogram", "tokens", ("vllm:request_generation_tokens",)),
    Metric("step_tokens", "histogram", "tokens", ("vllm:iteration_tokens_total",)),
    Metric("kv_transfer_time", "histogram", "s", ("vllm:nixl_xfer_time_seconds",)),
    Metric("kv_transfer_size", "histogram", "bytes", ("vllm:nixl_bytes_transferred",)),
    Metric("kv_transfers_failed", "counter", "transfers", ("vllm:nixl_num_failed_transfers_total",)),
)  # fmt: skip
_PICKER: Final = (
    Metric(
        "pool_kv_cache_usage", "gauge", "fraction",
        _picker("average_kv_cache_utilization", None, "inference_pool_average_kv_cache_utilization"), "mean",
    ),
    Metric(
        "pool_waiting", "gauge", "requests",
        _picker("average_queue_size", None, "inference_pool_average_queue_size"), "mean",
    ),
    Metric(
        "pool_running", "gauge", "requests",
        _picker("average_running_requests", None, "inference_pool_average_running_requests"), "mean",
    ),
    Metric("pool_ready_pods", "gauge", "pods", _picker("ready_endpoints", None, "inference_pool_ready_pods")),
    Metric(
        "pool_waiting_by_pod", "gauge", "requests",
        _picker("per_endpoint_queue_size", None, "inference_pool_per_pod_queue_size"),
    ),
    Metric(
        "pool_saturation", "gauge", "fraction",
        _picker("flow_control_pool_saturation", None, "inference_extension_flow_control_pool_saturation"), "max",
    ),
    Metric(
        "picker_queue", "gauge", "requests",
        _picker("flow_control_queue_size", None, "inference_extension_flow_control_queue_size"),
    ),
    Metric(
        "picker_queue_size", "gauge", "bytes",
        _picker("flow_control_queue_bytes", None, "inference_extension_flow_control_queue_bytes"),
    ),
    Metric(
        "picker_queue_time", "histogram", "s",
        _picker(
            "flow_control_request_queue_duration_seconds", None,
            "inference_extension_flow_control_request_queue_duration_seconds",
        ),
    ),
    Metric(
        "picker_running", "gauge", "requests",
        _picker(
            "request_running", "running_requests",
            "inference_objective_running_requests", "inference_model_running_requests",
        ),
    ),
    Metric(
        "picker_requests", "counter", "requests",
        _picker("request_total", None, "inference_objective_request_total", "inference_model_request_total"),
    ),
    Metric(
        "picker_errors", "counter", "requests",
        _picker(
            "request_error_total", None,
            "inference_objective_request_error_total", "inference_model_request_error_total",
        ),
        split="error_code",
    ),
    Metric(
        "picker_attempts", "counter", "attempts",
        _picker("scheduler_attempts_total", None, "inference_extension_scheduler_attempts_total"),
    ),
    Metric(
        "picker_decisions", "counter", "decisions",
        _picker(
            "disagg_decision_total", None,
            "llm_d_inference_scheduler_disagg_decision_total", "llm_d_inference_scheduler_pd_decision_total",
        ),
        split="decision_type",
    ),
    Metric(
        "picker_e2e", "histogram", "s",
        _picker(
            "request_duration_seconds", None,
            "inference_objective_request_duration_seconds", "inference_model_request_duration_seconds",
        ),
    ),
    Metric(
        "picker_ttft", "histogram", "s",
        _picker("request_ttft_seconds", None, "inference_objective_request_ttft_seconds"),
    ),
    Metric(
        "picker_normalized_tpot", "histogram", "s",
        _picker(
            "request_ntpot_seconds", "normalized_time_per_output_token_seconds",
            "inference_objective_normalized_time_per_output_token_seconds",
            "inference_model_normalized_time_per_output_token_seconds",
        ),
    ),
    Metric(
        "scheduling_time", "histogram", "s",
        _picker("scheduler_e2e_duration_seconds", None, "inference_extension_scheduler_e2e_duration_seconds"),
    ),
    Metric(
        "plugin_time", "histogram", "s",
        _picker("plugin_duration_seconds", None, "inference_extension_plugin_duration_seconds"),
    ),
    Metric(
        "prefix_index_hit_ratio", "histogram", "fraction",
        _picker("prefix_indexer_hit_ratio", None, "inference_extension_prefix_indexer_hit_ratio"),
    ),
    Metric(
        "prefix_index_size", "gauge", "entries",
        _picker("prefix_indexer_size", None, "inference_extension_prefix_indexer_size"),
    ),
)  # fmt: skip
_GPU: Final = (
    Metric("gpu_utilization", "gauge", "fraction", ("DCGM_FI_DEV_GPU_UTIL",), "mean", 0.01),
    Metric("gpu_engine_active", "gauge", "fraction", ("DCGM_FI_PROF_GR_ENGINE_ACTIVE",), "mean"),
    Metric("gpu_memory", "gauge", "bytes", ("DCGM_FI_DEV_FB_USED",), "sum", 2.0**20),
    Metric("gpu_power", "gauge", "W", ("DCGM_FI_DEV_POWER_USAGE",)),
    Metric("gpu_energy", "counter", "J", ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION",), "sum", 0.001),
)

METRICS: Final = (*_ENGINE, *_PICKER, *_GPU)
#: The same by the name that a server uses.
BY_NAME: Final = {name: metric for metric in METRICS for name in metric.names}
#: Since when a process runs, seconds since 1970: a change is a restart.
PROCESS_START: Final = "process_start_time_seconds"
#: What shows that a server is at work: counters that rise then, gauges above 0.
AT_WORK: Final = tuple(
    one for one in METRICS if one.canonical in ("prompt_tokens", "generation_tokens", "running", "waiting")
)
#: Rates that are made of two counters: what they are called, hits, queries.
RATES: Final = tuple(
    (f"{name}_hit_rate", f"{name}_hits", f"{name}_queries") for name in ("prefix_cache", "external_prefix_cache")
)


def sample_names(metrics: Iterable[Metric] = METRICS) -> frozenset[str]:
    """The names of all samples that belong to these metrics, as they stand at the beginning of a line."""
    wanted = {PROCESS_START}
    for one in metrics:
        for name in one.names:
            wanted |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if one.kind == "histogram" else {name}
    return frozenset(wanted)
