"""Bytes of weights on one GPU: what tensor, pipeline and expert parallelism split, and what every rank holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from pytest_llmdbench.capacity.configuration import V1, Configuration
from pytest_llmdbench.capacity.packing import packed
from pytest_llmdbench.capacity.parameters import Parameters, parameters
from pytest_llmdbench.capacity.tensors import Tensor, held

_VOCABULARY_PADDING: Final = 64
#: FlashInfer's workspace for latent attention, taken when its module is loaded: since 0.12 with every such model.
_LATENT_WORKSPACE: Final = 128 * 2**20


def weights_bytes(config: Configuration, rank: int) -> float:
    """On a GPU of pipeline rank ``rank`` (0 is the first), bytes; the table of rotary positions included.

    Without what is in the host's memory.
    """
    workspace = config.model.mla and config.gpu.vendor == "nvidia" and config.release >= (0, 12)
    tables = config.model.rotary * config.bytes
    own = max(0.0, held(_tensors(config, rank)) * config.model.files_share - config.cpu_offload_gb * 2**30)
    return own + tables + (_LATENT_WORKSPACE if workspace else 0)


def rank_layers(config: Configuration, rank: int) -> tuple[int, int, int]:
    """Layers of a pipeline rank, how many of them have experts, and how many a feed-forward part without.

    vLLM gives the remainder to the ranks before the last, which has the head as well; with experts the dense layers
    come first.
    """
    model, ranks = config.model, config.pipeline_parallel_size
    sizes = [model.layers // ranks] * ranks
    for extra in range(model.layers % ranks):
        sizes[-(extra + 2) if ranks > 1 else 0] += 1
    share, own = model.expert_layers / model.layers, sizes[rank]
    if model.dense_layers + model.expert_layers < model.layers:  # some have neither
        return own, round(own * share), round(own * model.dense_layers / model.layers)
    if not model.experts:
        return own, 0, own
    # Every second layer or so has them, or all but the first.
    moe = round(own * share) if share < 0.8 else max(0, own - max(0, model.dense_layers - sum(sizes[:rank])))
    return own, moe, own - moe


def _tensors(config: Configuration, rank: int) -> Iterator[Tensor]:
    model, count, plain = config.model, parameters(config.model), config.bytes * 8
    layers, moe, dense = rank_layers(config, rank)
    linear = _bits(config, model.quantization.linear_bits)
    yield from _attention(config, count, layers, _bits(config, model.quantization.mixer_bits))
    yield Tensor(count.norms, plain, layers, loose=True)
    yield from _feed_forward(config, count.dense, dense, linear)
    yield from _feed_forward(config, count.shared, moe, linear)
    yield Tensor(count.router, plain, moe)
    yield from _experts(config, moe)
    yield from _ends(config, count, rank)


def _attention(config: Configuration, count: Parameters, layers: int, bits: float) -> Iterator[Tensor]:
    model, tp = config.model, config.tensor_parallel_size
    out = model.heads * (model.mla.value if model.mla else model.head_dim) * model.hidden
    if model.mla:
        yield Tensor(count.replicated, bits, layers)
        yield Tensor((count.attention - out - count.absorbed) / tp, bits, layers)
        yield Tensor(count.absorbed / tp, bits, layers)
        yield Tensor(out / tp, bits, layers)
        if config.release < V1:
            # What decoding multiplies with was made ready in two products of matrices.
            wide = model.heads * model.mla.kv_rank / tp
            yield Tensor(wide * (model.mla.query_rank or model.hidden), bits, layers)
            yield Tensor(wide * model.hidden, bits, layers)
        elif model.quantization.mixer_bits is not None and not model.quantization.plain_up:
            # Decoding multiplies with the up-projection in the dtype; what is in the dtype already is not copied.
            yield Tensor(count.absorbed / 2 / tp, config.bytes * 8, 2 * layers)
        return
    # Once there are more ranks than KV heads, each holds a whole one.
    kv = count.kv / min(tp, model.kv_heads)
    alike = (model.global_kv_heads, model.global_head_dim) == (model.kv_heads, model.head_dim)
    if not alike or model.attention_layers < model.layers:
        yield Tensor((count.attention - count.kv) / tp + kv, bits, layers, loose=True)
        return
    yield Tensor((count.attention - count.kv - out) / tp + kv, bits, layers)
    yield Tensor(out / tp, bits, layers)


def _feed_forward(config: Configuration, elements: float, layers: int, bits: float) -> Iterator[Tensor]:
    """Up and gate are one tensor, down is another."""
    matrices = 3 if config.model.gated_mlp else 2
    one = elements / config.tensor_parallel_size / matrices
    yield Tensor((matrices - 1) * one, bits, layers)
    yield Tensor(one, bits, layers)


def _experts(config: Configuration, layers: int) -> Iterator[Tensor]:
    """Those of one layer on this GPU: up and gate of all of them are one tensor, down of all another."""
    model, experts = config.model, config.model.experts
    if experts is None:
        return
    own = experts.count if not config.enable_expert_parallel else math.ceil(experts.count / config.expert_ranks)
    width = experts.width if config.enable_expert_parallel else experts.width / config.expert_ranks
    if model.quantization.name == "mxfp4":
        yield from packed(config, own, math.ceil(width), layers)
        return
    bits, one = _bits(config, model.quantization.expert_bits), own * width * (experts.latent or model.hidden)
    yield Tensor((2 if model.gated_mlp else 1) * one, bits, layers)
    yield Tensor(one, bits, layers)


def _ends(config: Configuration, count: Parameters, rank: int) -> Iterator[Tensor]:
    """Embedding on the first rank, head on the last, vision tower on the first."""
    model, tp, last = config.model, config.tensor_parallel_size, config.pipeline_parallel_size - 1
    padded = math.ceil(model.vocabulary / _VOCABULARY_PADDING) * _VOCABULARY_PADDING / model.vocabulary
    if rank == 0:
        yield Tensor(count.embedding / tp * padded, config.bytes * 8)
        shared = 1 if model.vision and model.vision.replicated else tp
        yield Tensor(count.vision / shared, config.bytes * 8, loose=True)
    if rank == last and (not model.tied or last > 0):
        yield Tensor(count.head / tp * padded, _bits(config, model.quantization.head_bits))


def _bits(config: Configuration, bits: float | None) -> float:
    return config.bytes * 8 if bits is None else bits
