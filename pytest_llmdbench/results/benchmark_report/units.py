"""Which units a field of a Benchmark Report may have, and what they are worth in canonical ones: one table.

The published JSON schema cannot say this: there, any field may have any unit. llm-d-benchmark checks it in its code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Final

#: Kind of quantity -> unit -> what one is worth in the canonical unit, which is the first of its kind.
UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "quantity": {"count": 1.0, "pixels": 1.0},
    "portion": {"fraction": 1.0, "percent": 0.01},
    "ratio": {"ratio": 1.0},
    "time": {"s": 1.0, "ms": 1e-3},
    "memory": {
        "bytes": 1.0, "MB": 1e6, "GB": 1e9, "TB": 1e12, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40,
    },
    "bandwidth": {
        "MB/s": 1e6, "GB/s": 1e9, "TB/s": 1e12, "Mbit/s": 1.25e5, "Gbit/s": 1.25e8, "Tbit/s": 1.25e11,
    },
    "time a token": {"s/token": 1.0, "ms/token": 1e-3},
    "tokens a second": {"tokens/s": 1.0},
    "requests a second": {"queries/s": 1.0},
    "media a second": {"images/s": 1.0, "videos/s": 1.0, "audios/s": 1.0},
    "power": {"Watts": 1.0},
}  # fmt: skip

LATENCIES: Final = {
    "time_to_first_token": "time",
    "normalized_time_per_output_token": "time a token",
    "time_per_output_token": "time a token",
    "inter_token_latency": "time a token",
    "request_latency": "time",
}
LENGTHS: Final = {"input_length": "quantity", "output_length": "quantity"}
RATES: Final = {
    **dict.fromkeys(("input_token_rate", "output_token_rate", "total_token_rate"), "tokens a second"),
    "request_rate": "requests a second",
}
#: Statistics of a component of the stack over the whole run.
RESOURCES: Final = {
    **dict.fromkeys(
        ("kv_cache_usage", "cache_hit_rate", "gpu_cache_usage", "cpu_cache_usage", "gpu_utilization",
         "cpu_utilization"), "portion",
    ),
    **dict.fromkeys(("gpu_memory_usage", "cpu_memory_usage", "storage_usage"), "memory"),
    "power_consumption": "power",
    **dict.fromkeys(("running_requests", "waiting_requests", "swapped_requests", "preemptions"), "quantity"),
}  # fmt: skip
#: Time series that only 0.2.1 knows.
SERIES_021: Final = {
    **dict.fromkeys(
        ("num_requests_running", "num_requests_waiting", "num_preemptions", "prefix_cache_queries",
         "prefix_cache_hits", "external_prefix_cache_queries", "external_prefix_cache_hits", "prompt_tokens",
         "generation_tokens", "pool_avg_queue_size", "pool_avg_running_requests", "pool_ready_pods"), "quantity",
    ),
    **dict.fromkeys(
        ("prefix_cache_hit_rate", "external_prefix_cache_hit_rate", "pool_avg_kv_cache_utilization"), "portion"
    ),
}  # fmt: skip
#: Time series of a component of the stack.
SERIES: Final = {
    **{
        name: RESOURCES[name]
        for name in (
            "kv_cache_usage", "gpu_cache_usage", "cpu_cache_usage", "gpu_memory_usage", "cpu_memory_usage",
            "storage_usage", "gpu_utilization", "cpu_utilization", "power_consumption",
        )
    },
    **SERIES_021,
}  # fmt: skip
_FILE: Final = {"count": "quantity", "filesize": "memory"}
_PICTURE: Final = {**_FILE, "pixels": "quantity", "aspect_ratio": "ratio"}
_SESSIONS: Final = {
    "session_rate": "requests a second",
    "session_duration": "time",
    **dict.fromkeys(
        ("events_per_session", "events_cancelled_per_session", "input_tokens_per_session",
         "output_tokens_per_session"), "quantity",
    ),
}  # fmt: skip


def _below(place: str, fields: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return ((f"{place}.{name}", kind) for name, kind in fields.items())


#: Dotted path of every field with units in 0.2 and 0.2.1 -> its kind of quantity; ``[]`` stands for every item.
FIELDS_02: Final = dict(
    chain(
        _below("results.request_performance.aggregate.requests", LENGTHS | {"request_size": "memory"}),
        _below("results.request_performance.aggregate.requests.multimodal.image", _PICTURE),
        _below("results.request_performance.aggregate.requests.multimodal.video", _PICTURE | {"frames": "quantity"}),
        _below("results.request_performance.aggregate.requests.multimodal.audio", _FILE | {"duration": "time"}),
        _below("results.request_performance.aggregate.latency", LATENCIES),
        _below(
            "results.request_performance.aggregate.throughput",
            RATES | dict.fromkeys(("image_rate", "video_rate", "audio_rate"), "media a second"),
        ),
        _below("results.request_performance.time_series.latency", LATENCIES),
        _below("results.request_performance.time_series.throughput", RATES),
        _below("results.session_performance.sessions", _SESSIONS),
        _below("results.observability", {"drop_rate": "portion"}),
        _below("results.observability.components[].aggregate", RESOURCES),
        _below("results.observability.components[].time_series", SERIES),
    )
)
#: The same of 0.1.
FIELDS_01: Final = dict(
    chain(
        _below("metrics.requests", LENGTHS),
        _below("metrics.latency", LATENCIES),
        _below("metrics.resources.accelerator[]", {"power": "power"}),
        _below(
            "metrics.resources.accelerator[].memory",
            {"consumption": "memory", "utilization": "portion", "bandwidth": "bandwidth"},
        ),
        _below("metrics.resources.accelerator[].compute", {"utilization": "portion"}),
    )
)


def canonical(kind: str) -> str:
    """The unit that we write values of a kind in."""
    return next(iter(UNITS[kind]))
