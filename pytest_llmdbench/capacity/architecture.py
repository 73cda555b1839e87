"""The architecture of a model: its dimensions, and what kind of layers it has."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_llmdbench.capacity.quantization import NONE, Fp8Cache, Quantization


@dataclass(frozen=True, slots=True)
class MLA:
    """Multi-head latent attention: one compressed key-value vector a token, the same for all heads."""

    kv_rank: int
    query_rank: int
    rope: int
    nope: int
    value: int
    index_head: int
    index_heads: int


@dataclass(frozen=True, slots=True)
class Experts:
    """The mixture of experts in ``layers`` of the layers; ``shared`` is the width of what every token goes through.

    ``latent`` is the width to which a token is projected for the experts; 0: they take it as it is.
    """

    count: int
    active: int
    width: int
    shared: int
    layers: int
    latent: int = 0


@dataclass(frozen=True, slots=True)
class Linear:
    """Layers with a state of fixed size in place of a KV cache: linear attention (gated DeltaNet) or Mamba.

    Of Mamba-2 the groups are the key heads and the size of its state is that of a key; of Mamba each channel is a value
    head of its own. ``gates``: numbers for each value head that are projected as well; ``more``: parameters of a layer
    beside those and the convolution. ``wide``: the state has 4 bytes a number whatever the dtype.
    """

    layers: int
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    gates: int = 2
    more: int = 0
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Vision:
    """The vision tower: parameters, and whether each tensor parallel rank holds all of them."""

    parameters: float
    replicated: bool


@dataclass(frozen=True, slots=True)
class Model:
    """A model by its dimensions. ``window`` is the sliding or chunked window of ``window_layers`` layers, in tokens.

    ``attention_layers`` have attention, with or without a window, ``dense_layers`` a feed-forward part without experts.
    """

    name: str
    architecture: str
    hidden: int
    layers: int
    attention_layers: int
    dense_layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    #: Width of the feed-forward part of layers without experts.
    width: int
    dtype: str
    max_positions: int
    tied: bool
    attention_bias: bool
    gated_mlp: bool
    gated_attention: bool
    query_norm: bool
    window: int
    window_layers: int
    #: KV heads and head size of layers that see everything, where they differ (Gemma 4).
    global_kv_heads: int
    global_head_dim: int
    learned_positions: int
    #: Layers that look into the KV cache of another one.
    borrowing_layers: int
    #: Widths of what Gemma 3n gives each layer of each token: its own embedding, and a detour of low rank.
    layer_embedding: int
    detour: int
    #: Sines and cosines in all tables together; 0: the model has none.
    rotary: int
    mla: MLA | None = None
    experts: Experts | None = None
    linear: Linear | None = None
    vision: Vision | None = None
    quantization: Quantization = NONE
    #: Whether the weights are quantized by vLLM, and not in the checkpoint.
    quantized_at_start: bool = False
    #: What the checkpoint's files hold, as a share of what is counted; 1: they agree, or are not at hand.
    files_share: float = 1.0
    #: The checkpoint's wish for a KV cache in FP8.
    fp8_cache: Fp8Cache | None = None
    #: What the model card says, thousand millions of parameters; 0: nothing.
    published_b: float = 0.0
    source: str = ""

    @property
    def expert_layers(self) -> int:
        """Layers with experts."""
        return self.experts.layers if self.experts else 0

    @property
    def attention(self) -> str:
        """The kind of attention: MLA, MHA, MQA or GQA."""
        if self.mla:
            return "MLA"
        return {self.heads: "MHA", 1: "MQA"}.get(self.kv_heads, "GQA")
