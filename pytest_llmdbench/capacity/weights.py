"""Bytes of weights on one GPU: what tensor, pipeline and expert parallelism split, and what every rank holds."""

from __future__ import annotations

import math

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.parameters import Parameters, parameters

_VOCABULARY_PADDING = 64


def weights_bytes(config: Configuration, rank: int) -> float:
    """On a GPU of pipeline rank ``rank`` (0 is the first), bytes; the table of rotary positions included."""
    model, count, tp = config.model, parameters(config.model), config.tensor_parallel_size
    layers, moe = rank_layers(config, rank)
    linear, expert = _bytes(config, model.quantization.linear_bits), _bytes(config, model.quantization.expert_bits)
    # Once there are more ranks than KV heads, each holds a whole one.
    kv = count.kv / min(tp, model.kv_heads)
    attention = (count.attention - count.kv) / tp + kv + count.replicated
    whole = layers * (attention * linear + (count.absorbed / tp + count.norms) * config.bytes)
    whole += (layers - moe) * count.dense / tp * linear
    whole += moe * (count.shared / tp * linear + count.router * config.bytes)
    whole += moe * _experts(config, count) * expert
    return whole + _ends(config, count, rank) + _rotary(config)


def rank_layers(config: Configuration, rank: int) -> tuple[int, int]:
    """Layers of a pipeline rank, and how many of them have experts.

    vLLM gives the remainder to the ranks before the last, which has the head as well; with experts the dense layers
    come first.
    """
    model, ranks = config.model, config.pipeline_parallel_size
    sizes = [model.layers // ranks] * ranks
    for extra in range(model.layers % ranks):
        sizes[-(extra + 2) if ranks > 1 else 0] += 1
    if not model.experts:
        return sizes[rank], 0
    share = model.expert_layers / model.layers
    if share < 0.8:  # every second layer or so
        return sizes[rank], round(sizes[rank] * share)
    dense = max(0, model.layers - model.expert_layers - sum(sizes[:rank]))
    return sizes[rank], max(0, sizes[rank] - dense)


def _experts(config: Configuration, count: Parameters) -> float:
    """Parameters of one layer's experts on this GPU."""
    experts = config.model.experts
    if experts is None:
        return 0.0
    one = count.experts / experts.count
    padded = config.model.quantization.padded
    if padded:
        one *= math.ceil(experts.width / padded) * padded / experts.width
    if config.enable_expert_parallel:
        return math.ceil(experts.count / config.expert_ranks) * one
    return experts.count * one / config.expert_ranks


def _ends(config: Configuration, count: Parameters, rank: int) -> float:
    """Embedding on the first rank, head on the last, vision tower on the first."""
    model, tp, last = config.model, config.tensor_parallel_size, config.pipeline_parallel_size - 1
    padded = math.ceil(model.vocabulary / _VOCABULARY_PADDING) * _VOCABULARY_PADDING / model.vocabulary
    held = 0.0
    if rank == 0:
        held += count.embedding / tp * padded
        held += count.vision / (1 if model.vision and model.vision.replicated else tp)
    if rank == last and (not model.tied or last > 0):
        held += count.head / tp * padded
    return held * config.bytes


def _rotary(config: Configuration) -> float:
    """Sines and cosines of all positions: one table for all layers, and Gemma 3 has another for its windows."""
    model = config.model
    if not model.rotary:
        return 0.0
    tables = 2 if "Gemma3" in model.architecture else 1
    size = model.mla.rope if model.mla else model.head_dim
    return float(tables * max(model.max_positions, config.length) * size * config.bytes)


def _bytes(config: Configuration, bits: float | None) -> float:
    return config.bytes if bits is None else bits / 8
