"""Parameters of a model by the part they belong to: what tensor parallelism splits, and what each rank holds whole."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmdbench.capacity.architecture import Model


@dataclass(frozen=True, slots=True)
class Parameters:
    """Numbers of parameters; all but the embedding, the head and the vision tower are of one layer."""

    embedding: int
    head: int
    attention: float
    #: Part of ``attention`` that belongs to KV heads: replicated once there are more ranks than KV heads.
    kv: float
    #: Down-projections of MLA and its indexer: every rank holds them whole.
    replicated: int
    #: MLA keeps the up-projection a second time, in the form that decoding multiplies with.
    absorbed: int
    dense: int
    experts: int
    shared: int
    router: int
    norms: int
    vision: float

    def total(self, model: Model) -> float:
        """All parameters of the model."""
        moe, layers = model.expert_layers, model.layers
        head = 0 if model.tied else self.head
        return (
            self.embedding
            + head
            + layers * (self.attention + self.replicated + self.norms)
            + model.dense_layers * self.dense
            + moe * (self.experts + self.shared + self.router)
            + self.vision
        )

    def active(self, model: Model) -> float:
        """Parameters of layers and head that one token is multiplied with."""
        experts = model.experts
        share = experts.active / experts.count if experts else 0.0
        return (
            self.head
            + model.layers * (self.attention + self.replicated)
            + model.dense_layers * self.dense
            + model.expert_layers * (self.experts * share + self.shared + self.router)
        )


def parameters(model: Model) -> Parameters:
    """Count them from the dimensions."""
    hidden, experts = model.hidden, model.experts
    matrices = 3 if model.gated_mlp else 2
    attention, kv, replicated, absorbed = _attention(model)
    return Parameters(
        embedding=(model.vocabulary + model.learned_positions) * hidden
        + model.vocabulary * model.layers * model.layer_embedding,
        head=model.vocabulary * hidden,
        attention=attention,
        kv=kv,
        replicated=replicated,
        absorbed=absorbed,
        dense=matrices * hidden * model.width,
        experts=experts.count * matrices * (experts.latent or hidden) * experts.width if experts else 0,
        # To the latent width and back goes every token.
        shared=hidden * (matrices * experts.shared + 2 * experts.latent) if experts else 0,
        router=hidden * experts.count if experts else 0,
        norms=2 * hidden * (1 + model.detour)
        + 3 * hidden * model.layer_embedding
        + (2 * model.head_dim if model.query_norm else 0),
        vision=model.vision.parameters if model.vision else 0.0,
    )


def _attention(model: Model) -> tuple[float, float, int, int]:
    """A layer's mean: all that is split, of it KV heads, replicated, and held a second time."""
    hidden, mla = model.hidden, model.mla
    if mla:
        queries = model.heads * (mla.nope + mla.rope)
        up = mla.kv_rank * model.heads * (mla.nope + mla.value)
        split = (mla.query_rank or hidden) * queries + up + model.heads * mla.value * hidden
        down = hidden * (mla.query_rank + mla.kv_rank + mla.rope)
        wide = mla.index_heads * mla.index_head
        index = wide * (mla.query_rank or hidden) + hidden * (mla.index_head + mla.index_heads) if wide else 0
        return split, 0, down + index, up
    full = model.attention_layers - model.window_layers
    near, near_kv = _heads(model, model.kv_heads, model.head_dim)
    far, far_kv = _heads(model, model.global_kv_heads, model.global_head_dim)
    mean = (near * model.window_layers + far * full) / model.layers
    kv = (near_kv * model.window_layers + far_kv * full) / model.layers
    if model.linear:
        line = model.linear
        keys, values = line.key_heads * line.key_dim, line.value_heads * line.value_dim
        mixed = hidden * (2 * keys + 2 * values + line.gates * line.value_heads) + values * hidden
        mixed += line.kernel * (2 * keys + values) + line.more
        mean += mixed * line.layers / model.layers
    return mean, kv, 0, 0


def _heads(model: Model, kv_heads: int, head_dim: int) -> tuple[int, int]:
    kv = 2 * model.hidden * kv_heads * head_dim
    queries = model.hidden * model.heads * head_dim * (2 if model.gated_attention else 1)
    bias = (model.heads + 2 * kv_heads) * head_dim if model.attention_bias else 0
    return queries + kv + model.heads * head_dim * model.hidden + bias, kv
