"""The KV cache as vLLM lays it out: groups of layers that share one pool of blocks, and what a request takes of it.

Layers of one kind (full, window, fixed state) form groups of the same number of layers, padded up; a block holds some
tokens of one group. A request has blocks of every group: for its whole length, for its window, or one for its state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_llmdbench.capacity.configuration import V1, Configuration
from pytest_llmdbench.capacity.weights import rank_layers

#: Bytes that the indexer of sparse MLA keeps of a token beside its key of 8 bits: a scale.
_INDEX_SCALE = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """The pool: bytes of a block, groups by kind, and tokens in a block of full and of window groups."""

    block_bytes: float
    full: int
    windowed: int
    states: int
    full_tokens: int
    window_tokens: int
    window: int
    #: Blocks that a request has of each group of states.
    kept: int = 1

    @property
    def groups(self) -> int:
        """Groups of all kinds."""
        return self.full + self.windowed + self.states

    def blocks(self, length: int, step: int) -> int:
        """Blocks of one request of ``length`` tokens, if steps have up to ``step`` tokens."""
        needed = self.full * math.ceil(length / self.full_tokens) + self.states * self.kept
        if self.windowed:
            kept = min(self.window - 1 + step, length)
            needed += self.windowed * (math.ceil(kept / self.window_tokens) + 1)
        return needed


def layout(config: Configuration, rank: int = 0) -> Layout:
    """How the KV cache of a GPU of one pipeline rank is laid out."""
    model = config.model
    own, _, _ = rank_layers(config, rank)
    hybrid = config.hybrid_kv and config.release >= (0, 10)
    # A rank has its share of each kind of layer; of those with attention, some may look into another's cache.
    share = own / model.layers
    borrowing = model.borrowing_layers / model.layers
    windowed = math.ceil(model.window_layers * share * (1 - borrowing)) if hybrid else 0
    states = math.ceil(model.linear.layers * share) if model.linear else 0
    without = (model.layers - model.attention_layers) * share - states
    least = 0 if windowed or states else 1
    full = max(least, own - windowed - states - int(without) - round(own * borrowing))
    near, far = (
        _token_bytes(config, model.kv_heads, model.head_dim),
        _token_bytes(config, model.global_kv_heads, model.global_head_dim),
    )
    far_tokens = near_tokens = config.block
    page = far * far_tokens
    if windowed and near != far:
        page = max(near, far) * config.block
        far_tokens, near_tokens = int(page / far), int(page / near)
    if states:
        far_tokens = math.ceil(_state_bytes(config) / far / config.block) * config.block
        page = far * far_tokens
    counts = [count for count in (full, windowed, states) if count]
    size = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    return Layout(
        block_bytes=size * page,
        full=math.ceil(full / size),
        windowed=math.ceil(windowed / size),
        states=math.ceil(states / size),
        full_tokens=far_tokens,
        window_tokens=near_tokens,
        window=model.window,
        # The present state, and the one at the end of the last whole block for prompts that begin alike.
        kept=2 if config.enable_prefix_caching else 1,
    )


def states_bytes(config: Configuration) -> float:
    """The fixed states of one sequence on one GPU, all layers that have one, bytes."""
    return config.model.linear.layers * _state_bytes(config) if config.model.linear else 0.0


def _token_bytes(config: Configuration, kv_heads: int, head_dim: int) -> float:
    """Bytes of one token in one layer on one GPU."""
    mla = config.model.mla
    if mla:
        # Replicated: there is one vector for all heads. The engine before V1 aligned it to 256 bytes.
        wide = mla.kv_rank + mla.rope
        wide = math.ceil(wide / 128) * 128 if config.release < V1 else wide
        index = mla.index_head + _INDEX_SCALE if mla.index_head else 0
        return float(wide * config.kv_bytes + index)
    return 2 * max(kv_heads / config.tensor_parallel_size, 1) * head_dim * config.kv_bytes


def _state_bytes(config: Configuration) -> float:
    """The fixed state of one sequence in one layer of linear attention on one GPU, bytes."""
    linear = config.model.linear
    if linear is None:
        return 0.0
    channels = 2 * linear.key_heads * linear.key_dim + linear.value_heads * linear.value_dim
    state = linear.value_heads * linear.key_dim * linear.value_dim
    size = 4 if linear.wide else config.bytes
    return ((linear.kernel - 1) * channels * config.bytes + state * size) / config.tensor_parallel_size
