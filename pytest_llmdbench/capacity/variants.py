"""The engines that are tried on a GPU for a model: parallelism and types, and milder flags where none would start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import Gpu
from pytest_llmdbench.capacity.models import quantized
from pytest_llmdbench.capacity.nodes import over_nodes
from pytest_llmdbench.capacity.placement import broken_rules, tensor_sizes
from pytest_llmdbench.capacity.validation import starts

#: Where vLLM's own choice does not start: as much as it may take of a GPU, and the tokens of a step.
MOST_UTILIZATION: Final = 0.95
FEWER_TOKENS: Final = 2048


def variants(asked: Asked, gpu: Gpu, nodes: int) -> Iterator[Configuration]:
    """Every engine of a replica on so many nodes of a GPU, whether it starts or not."""
    model = asked.model
    half = gpu.vendor == "nvidia" and gpu.capability < 8 and model.dtype == "bfloat16"
    base = Configuration(
        model, gpu, max_model_len=asked.length, version=asked.version, dtype="half" if half else "auto"
    )
    models = [model]
    if asked.small_types and gpu.fp8 and model.quantization.name == "none":
        models.append(quantized(model, "fp8"))
    kv_types = ["auto", "fp8"] if asked.small_types and gpu.fp8 and not base.fp8_cache else ["auto"]
    for one in models:
        for kv in kv_types:
            config = replace(base, model=one, kv_cache_dtype=kv)
            if nodes > 1:
                yield from over_nodes(config, nodes)
            else:
                yield from _of_one_node(config, min(asked.most_gpus or gpu.node, gpu.node))


def that_starts(config: Configuration) -> Configuration | None:
    """The engine where it surely starts, or else with the mildest flags that make it; None where none do."""
    if starts(config):
        return config
    if broken_rules(config):
        return None
    more = {"gpu_memory_utilization": MOST_UTILIZATION}
    fewer = {"max_num_batched_tokens": FEWER_TOKENS}
    for flags in (more, fewer, more | fewer) if config.tokens > FEWER_TOKENS else (more,):
        milder = replace(config, **flags)
        if starts(milder):
            return milder
    return None


def _of_one_node(config: Configuration, most: int) -> Iterator[Configuration]:
    sizes = tensor_sizes(config, most)
    for size in sizes:
        yield replace(config, tensor_parallel_size=size)
    yield from _stages(config, sizes, most)
    if config.model.experts and most > 1:
        yield from _spread(config, sizes, most)


def _stages(config: Configuration, sizes: list[int], most: int) -> Iterator[Configuration]:
    """Where tensor parallelism cannot share the layers by 2, 4, 8 GPUs: as far as it can, and stages of the rest."""
    for gpus in (1 << power for power in range(1, most.bit_length())):
        if gpus not in sizes and sizes and gpus // sizes[-1] <= config.model.layers:
            yield replace(config, tensor_parallel_size=sizes[-1], pipeline_parallel_size=gpus // sizes[-1])


def _spread(config: Configuration, sizes: list[int], most: int) -> Iterator[Configuration]:
    """Experts spread over the GPUs, each whole on one of them; beside them the attention is shared or copied.

    Of latent attention, whose cache cannot be split, each GPU has a copy.
    """
    spread = replace(config, enable_expert_parallel=True)
    for size in [1] if config.model.mla else tensor_sizes(spread, most):
        copies = replace(spread, tensor_parallel_size=size, data_parallel_size=most // size)
        if (copies.data_parallel_size > 1 or size not in sizes) and not broken_rules(copies):
            yield copies
