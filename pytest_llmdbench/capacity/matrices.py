"""The matrices of a model that can be quantized, by the names that checkpoints give them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.layer_kinds import LayerKind

Part = Literal["mixer", "linear", "experts", "head"]

#: What architectures call the parts of a layer.
_ATTENTION: Final = ("self_attn", "mixer", "attention", "attn")
_STATE: Final = ("linear_attn", "mamba", "mixer")
_FORWARD: Final = ("mlp", "mixer", "block_sparse_moe", "feed_forward", "moe")
_SHARED: Final = tuple(f"{place}.{one}" for place in _FORWARD for one in ("shared_experts", "shared_expert"))
#: Architectures whose experts are beside a dense part, and not in it.
_BESIDE: Final = "Gemma4"
#: The up-projection of latent attention.
UP: Final = "kv_b_proj"
#: Matrices of a feed-forward part: gate, up and down, by all their names. Several in one have one name.
_GATE: Final = ("gate_proj", "gate_up_proj", "w1", "w13")
_UP: Final = ("up_proj", "gate_up_proj", "w3", "w13")
_DOWN: Final = ("down_proj", "w2")


@dataclass(frozen=True, slots=True)
class Matrix:
    """One matrix, or that of all experts of a layer: the names it may have, from ``layers`` on, and its elements."""

    names: tuple[str, ...]
    elements: float
    part: Part


def matrices(model: Model, kinds: Sequence[LayerKind]) -> Iterator[Matrix]:
    """All of them: those of each layer, and the head."""
    for number, kind in enumerate(kinds):
        parts = (*_mixer(model, kind), *_feed_forward(model, kind))
        for places, projections, elements, part in parts:
            names = (f"layers.{number}.{place}.{one}" for place in places for one in projections)
            yield Matrix(tuple(names), elements, part)
    if not model.tied:
        yield Matrix(("lm_head",), model.vocabulary * model.hidden, "head")


_Found = tuple[tuple[str, ...], tuple[str, ...], float, Part]


def _mixer(model: Model, kind: LayerKind) -> Iterator[_Found]:
    hidden, mla, line = model.hidden, model.mla, model.linear
    if kind.mixer == "state" and line:
        keys, values = line.key_heads * line.key_dim, line.value_heads * line.value_dim
        yield _STATE, ("in_proj_qkv", "in_proj_qkvz", "in_proj"), hidden * (2 * keys + values), "mixer"
        yield _STATE, ("in_proj_z", "in_proj_qkvz", "in_proj"), hidden * values, "mixer"
        small = hidden * line.gates * line.value_heads
        yield _STATE, ("in_proj_ba", "in_proj_b", "in_proj_a", "in_proj"), small, "mixer"
        yield _STATE, ("out_proj",), values * hidden, "mixer"
    elif kind.mixer != "none" and mla:
        queries = model.heads * (mla.nope + mla.rope)
        yield _ATTENTION, ("q_b_proj", "q_proj"), (mla.query_rank or hidden) * queries, "mixer"
        yield _ATTENTION, ("q_a_proj", "fused_qkv_a_proj"), hidden * mla.query_rank, "mixer"
        down = hidden * (mla.kv_rank + mla.rope)
        yield _ATTENTION, ("kv_a_proj_with_mqa", "fused_qkv_a_proj"), down, "mixer"
        yield _ATTENTION, (UP,), mla.kv_rank * model.heads * (mla.nope + mla.value), "mixer"
        yield _ATTENTION, ("o_proj",), model.heads * mla.value * hidden, "mixer"
    elif kind.mixer != "none":
        near = kind.mixer == "window"
        size = model.head_dim if near else model.global_head_dim
        kv_heads = model.kv_heads if near else model.global_kv_heads
        gates = 2 if model.gated_attention else 1
        yield _ATTENTION, ("q_proj", "qkv_proj"), hidden * model.heads * size * gates, "mixer"
        for one in ("k_proj", "v_proj"):
            yield _ATTENTION, (one, "qkv_proj"), hidden * kv_heads * size, "mixer"
        yield _ATTENTION, ("o_proj",), model.heads * size * hidden, "mixer"


def _feed_forward(model: Model, kind: LayerKind) -> Iterator[_Found]:
    hidden, experts = model.hidden, model.experts
    projections = (_GATE, _UP, _DOWN) if model.gated_mlp else (_UP, _DOWN)
    if kind.feed_forward == "dense":
        yield from ((_FORWARD, one, hidden * model.width, "linear") for one in projections)
    if kind.feed_forward == "experts" and experts:
        inside, shared = tuple(f"{place}." for place in _FORWARD), _SHARED
        if model.architecture.startswith(_BESIDE):
            inside, shared = ("", "moe."), ("mlp",)
        places = tuple(f"{place}{one}" for place in inside for one in ("experts.0", "experts"))
        each = (experts.latent or hidden) * experts.width
        yield from ((places, one, each * experts.count, "experts") for one in projections)
        for one in ("fc1_latent_proj", "fc2_latent_proj") if experts.latent else ():
            yield _FORWARD, (one,), hidden * experts.latent, "linear"
        if experts.shared:
            yield from ((shared, one, hidden * experts.shared, "linear") for one in projections)
