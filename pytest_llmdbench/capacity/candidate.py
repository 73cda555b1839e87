"""One engine that was tried: how many replicas, what each carries and how fast, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.cost import Cost
from pytest_llmdbench.capacity.speed import Speed


@dataclass(frozen=True, slots=True)
class Candidate:
    """One engine with a number of requests in flight on each replica, its speed, and what of it serves the load."""

    config: Configuration
    concurrency: int
    speed: Speed
    replicas: int
    cost: Cost | None
    #: The objectives that it is not expected to meet.
    missed: Sequence[str]

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.replicas * self.config.gpus

    @property
    def per_gpu(self) -> float:
        """Output tokens per second of one GPU."""
        return self.speed.output_tokens_per_second / self.config.gpus

    @property
    def label(self) -> str:
        """One replica in a few words: ``2 x H100-SXM-80GB, tp2``."""
        config = self.config
        return ", ".join([f"{config.gpus} x {config.gpu.name}", *flags_of(config)])


def flags_of(config: Configuration) -> list[str]:
    """What an engine has that is not as usual, each in a word or two."""
    parts = [f"{config.nodes} nodes"] if config.nodes > 1 else []
    parts += [f"tp{config.tensor_parallel_size}"] if config.tensor_parallel_size > 1 else []
    parts += [f"pp{config.pipeline_parallel_size}"] if config.pipeline_parallel_size > 1 else []
    copies = [f"dp{config.data_parallel_size}"] if config.data_parallel_size > 1 else []
    parts += [" ".join([*copies, "ep"])] if config.enable_expert_parallel else copies
    parts += [config.model.quantization.name] if config.model.quantized_at_start else []
    parts += ["kv fp8"] if config.kv_cache_dtype == "fp8" else []
    parts += [f"memory {config.utilization:.0%}"] if config.gpu_memory_utilization else []
    parts += [f"{config.tokens} tokens a step"] if config.max_num_batched_tokens else []
    return parts
