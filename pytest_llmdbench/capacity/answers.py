"""Answers as JSON-able data, in canonical units: seconds, tokens, requests, GiB."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from pytest_llmdbench.capacity.candidate import HEADROOM, Candidate, Prefill
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.explore import Exploration
from pytest_llmdbench.capacity.nodes import placed
from pytest_llmdbench.capacity.ranking import by_cost, pareto
from pytest_llmdbench.capacity.speed import Speed
from pytest_llmdbench.capacity.validation import Validation


def configuration_data(config: Configuration) -> dict[str, Any]:
    """The engine, by vLLM's names, with what vLLM takes by itself filled in."""
    return {
        "model": config.model.name,
        "gpu": config.gpu.name,
        "gpus": config.gpus,
        "quantization": config.model.quantization.name,
        "tensor_parallel_size": config.tensor_parallel_size,
        "pipeline_parallel_size": config.pipeline_parallel_size,
        "data_parallel_size": config.data_parallel_size,
        "enable_expert_parallel": config.enable_expert_parallel,
        "max_model_len": config.length,
        "max_num_seqs": config.sequences,
        "max_num_batched_tokens": config.tokens,
        "gpu_memory_utilization": config.utilization,
        "block_size": config.block,
        "dtype": config.dtype,
        "kv_cache_dtype": config.kv_type,
        "vllm": config.version,
    }


def validation_data(found: Validation) -> dict[str, Any]:
    """Verdict, memory in GiB, and ways out."""
    room = {name: value for name, value in asdict(found.memory).items() if name != "layout"}
    return {
        "configuration": configuration_data(found.config),
        "verdict": found.verdict,
        "why": found.why,
        "memory_gib": {name: value for name, value in room.items() if name not in ("tokens", "concurrency")},
        "kv_cache_tokens": found.memory.tokens,
        "max_concurrency": found.memory.concurrency,
        "broken": [asdict(one) for one in found.broken],
        "fixes": [asdict(one) for one in found.fixes],
        "notes": list(found.notes),
    }


def speed_data(found: Speed) -> dict[str, Any]:
    """Seconds and amounts a second, with ranges."""
    ranges = {
        "ttft_range": found.ttft_range,
        "tpot_range": found.tpot_range,
        "output_tokens_per_second_range": found.throughput_range,
    }
    return asdict(found) | {name: list(value) for name, value in ranges.items()}


def candidate_data(found: Candidate) -> dict[str, Any]:
    """One point of the explored space."""
    cost = asdict(found.cost) | {"whole_per_million_output_range": list(found.cost.whole_range)} if found.cost else None
    return {
        "label": found.label,
        "deployment": found.deployment,
        "configuration": configuration_data(found.config),
        "concurrency": found.concurrency,
        "replicas": found.replicas,
        "gpus": found.gpus,
        "placement": placed(found.config) if found.config.nodes > 1 else None,
        "output_tokens_per_second_per_gpu": found.per_gpu,
        "speed": speed_data(found.speed),
        "cost": cost,
        "missed": list(found.missed),
        "prefill": prefill_data(found.prefill) if found.prefill else None,
    }


def prefill_data(found: Prefill) -> dict[str, Any]:
    """The engines that read prompts for others: seconds, and shares of the time."""
    return {
        "configuration": configuration_data(found.config),
        "replicas": found.replicas,
        "busy": found.busy,
        "prompt_s": found.prompt_s,
        "transfer_s": found.transfer_s,
    }


def exploration_data(found: Exploration) -> dict[str, Any]:
    """The best of each engine, the Pareto front, and what was left out."""
    front = [one for one in pareto(found.meeting, by_cost) if math.isfinite(by_cost(one))]
    return {
        "model": found.asked.model.name,
        "best": [candidate_data(one) for one in found.best],
        "pareto": [candidate_data(one) for one in front],
        "engines": found.engines,
        "engines_meeting": len(found.best) - found.splits,
        "splits_meeting": found.splits,
        "points": len(found.meeting) + len(found.missing),
        "meeting": len(found.meeting),
        "headroom": HEADROOM if found.asked.rate is not None else None,
        "refused": dict(found.refused),
        "not_estimated": list(found.unknown),
    }
