"""Where a GPU's memory goes when an engine starts, and how many tokens and requests the rest holds."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.kv_cache import Layout, layout
from pytest_llmdbench.capacity.overhead import GIB, activation_gib, cuda_graphs_gib, non_torch_gib
from pytest_llmdbench.capacity.weights import weights_bytes
from pytest_llmdbench.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Memory:
    """One GPU of the tightest pipeline rank, GiB. ``kv`` is what is left; below 0 it does not fit.

    ``request`` is what one request of the greatest length takes. ``tokens`` and ``concurrency`` are of one data
    parallel copy: tokens in the cache, and requests of the greatest length at the same time.
    """

    total: float
    requested: float
    weights: float
    activation: float
    non_torch: float
    cuda_graphs: float
    kv: float
    request: float
    tokens: int
    concurrency: float
    layout: Layout

    @property
    def spare(self) -> float:
        """What is left when one request of the greatest length has its place, GiB; below 0 vLLM refuses to start."""
        return self.kv - self.request


def memory(config: Configuration) -> Memory:
    """The memory of the GPU that has the least room; the others have the same number of blocks.

    Raises:
        DeclarationError: there are more pipeline stages than layers.
    """
    if config.pipeline_parallel_size > config.model.layers:
        raise DeclarationError(f"pipeline_parallel_size: {config.model.layers} layers make at most so many stages")
    ranks = range(config.pipeline_parallel_size)
    return min((_rank(config, rank) for rank in ranks), key=lambda one: (one.concurrency, one.spare))


def _rank(config: Configuration, rank: int) -> Memory:
    requested = config.total_gib * config.utilization
    weights = weights_bytes(config, rank) / GIB
    activation = activation_gib(config, last=rank == config.pipeline_parallel_size - 1)
    non_torch, graphs = non_torch_gib(config), cuda_graphs_gib(config)
    kv = requested - weights - activation - non_torch - graphs + config.correction_gib
    room = layout(config, rank)
    per_request = room.blocks(config.length, config.tokens)
    blocks = int(max(0.0, kv) * GIB / room.block_bytes)
    concurrency = blocks / per_request
    exact = blocks // room.groups * room.full_tokens
    tokens = int(concurrency * config.length) if config.release > (0, 20) else exact
    return Memory(
        total=config.total_gib,
        requested=requested,
        weights=weights,
        activation=activation,
        non_torch=non_torch,
        cuda_graphs=graphs,
        kv=kv,
        request=per_request * room.block_bytes / GIB,
        tokens=tokens,
        concurrency=concurrency,
        layout=room,
    )
