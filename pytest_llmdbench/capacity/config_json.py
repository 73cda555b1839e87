"""From a Hugging Face ``config.json``, or an entry of ``data/models.yaml`` in its words, to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.capacity.architecture import MLA, Experts, Linear, Model, Vision
from pytest_llmdbench.capacity.fields import Fields
from pytest_llmdbench.capacity.quantization import fp8_cache_of_config, quantization_config, quantization_of_config
from pytest_llmdbench.errors import DeclarationError

#: Where NVIDIA's Model Optimizer says what others say as ``quantization_config`` of the config.json.
BESIDE: Final = "hf_quant_config.json"
_MOST_LAYERS: Final = 2000
_MOST_POSITIONS: Final = 100_000_000
#: Architectures whose windows turn by another base, so have a table of their own.
_WINDOW_TABLES: Final = ("Gemma3", "Gemma4")
#: One layer in so many sees everything, where a config.json does not say which.
_WINDOW_PATTERNS: Final[Mapping[str, int]] = {"Gemma2": 2, "Gemma3": 6, "GptOss": 2}
#: Architectures whose feed-forward part has two matrices, not three.
_NOT_GATED: Final = ("OPT", "PhiForCausalLM", "GPT2", "GPTNeo", "GPTBigCode", "Bloom", "Starcoder2", "MPT", "Falcon")
#: Keys of state spaces, of layers that differ one by one, and of models with an encoder.
_UNKNOWN_LAYERS: Final = (
    "mamba_num_heads", "mamba_n_heads", "mamba_d_state", "mamba_d_conv", "ssm_state_size", "state_size",
    "hybrid_override_pattern", "block_configs", "is_encoder_decoder",
)  # fmt: skip


def read_architecture(data: Mapping[str, Any], name: str) -> Model:
    """The model of a config.json, or of an entry of ``data/models.yaml``.

    Raises:
        DeclarationError: a dimension is missing, of a wrong type or absurd.
    """
    whole = Fields(data, name)
    parts = (whole.below(key) for key in ("text_config", "llm_config", "language_config"))
    text = next((part for part in parts if part), whole)
    _refuse_unknown_layers(text)
    layers = text.count("num_hidden_layers", "n_layer", default=-1, least=1)
    heads = text.count("num_attention_heads", "n_head", default=-1, least=1)
    hidden = text.count("hidden_size", "n_embd", "d_model", default=-1, least=1)
    if layers > _MOST_LAYERS or heads > hidden:
        raise DeclarationError(
            f"{name}: {layers} layers of {heads} heads on a width of {hidden}: no model is like that"
        )
    architectures = whole.data.get("architectures")
    architecture = whole.text("architecture") or (
        architectures[0]
        if isinstance(architectures, list) and architectures and isinstance(architectures[0], str)
        else ""
    )
    window, window_layers = _windows(text, layers, architecture)
    max_positions, table = _positions(text, architecture)
    experts = _experts(text, layers, architecture)
    linear = _linear(text, layers)
    if linear and window_layers + linear.layers > layers:
        raise DeclarationError(f"{name}: more layers with a window or linear attention than the {layers} there are")
    small = quantization_config(whole.below("quantization_config") or text.below("quantization_config"))
    head_dim = text.count("head_dim", default=hidden // heads, least=1)
    global_head_dim = text.count("global_head_dim", default=head_dim, least=1)
    kv_heads = text.count("num_key_value_heads", default=heads, least=1)
    width = text.count("intermediate_size_mlp", "intermediate_size", "ffn_dim", "n_inner", default=4 * hidden)
    return Model(
        name=name,
        architecture=architecture,
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=text.count("vocab_size", default=-1, least=1),
        width=width,
        dtype=text.text("torch_dtype", "dtype", default=whole.text("torch_dtype", "dtype", default="bfloat16")),
        max_positions=max_positions,
        tied=text.flag("tie_word_embeddings", default=whole.flag("tie_word_embeddings", default=_tied(architecture))),
        attention_bias=text.flag("qkv_bias", default=text.flag("attention_bias", default="Qwen2" in architecture)),
        gated_mlp=text.flag(
            "gated_mlp",
            default=not architecture.startswith(_NOT_GATED),
        ),
        gated_attention=text.flag("attn_output_gate", default="Qwen3Next" in architecture or "Qwen3_5" in architecture),
        query_norm=text.flag("qk_norm", default="Qwen3" in architecture or "Gemma3" in architecture),
        window=window,
        window_layers=window_layers,
        global_kv_heads=text.count("num_global_key_value_heads", default=kv_heads, least=1),
        global_head_dim=global_head_dim,
        learned_positions=text.count(
            "learned_positions",
            default=text.count("max_position_embeddings") + 2 if architecture.startswith("OPT") else 0,
        ),
        rotary=_rotary(text, architecture, max_positions, table, (head_dim, global_head_dim)),
        mla=_mla(text),
        experts=experts,
        linear=linear,
        vision=_vision(whole, architecture),
        quantization=quantization_of_config(small, experts=experts is not None),
        fp8_cache=fp8_cache_of_config(small),
        published_b=whole.number("params_b"),
        source=whole.text("source", default=f"config.json of {name}"),
    )


def _tied(architecture: str) -> bool:
    return architecture.startswith(("Gemma", "OPT", "GPT2"))


def _refuse_unknown_layers(text: Fields) -> None:
    for key in _UNKNOWN_LAYERS:
        if text.data.get(key):
            raise DeclarationError(f"{text.name}: '{key}' stands for layers of a kind that is not known here")


def _positions(text: Fields, architecture: str) -> tuple[int, int]:
    """Positions that the model knows, and those of its table of sines and cosines, as vLLM stretches both."""
    known = text.count("max_position_embeddings", "n_positions", default=2048, least=1)
    scaling = text.below("rope_scaling") or text.below("rope_parameters")
    # Where windows have a table of their own, it is the other that is stretched.
    scaling = scaling and (scaling.below("full_attention") or scaling)
    if scaling is None:
        return known, known
    kind, factor = scaling.text("rope_type", "type"), scaling.number("factor", 1.0)
    if kind == "yarn":
        known = _stretched(text, scaling.count("original_max_position_embeddings", default=known), factor)
        return known, known
    table = _stretched(text, known, factor) if kind in ("linear", "dynamic") else known
    return (known if architecture.startswith(_WINDOW_TABLES) else table), table


def _stretched(text: Fields, positions: int, factor: float) -> int:
    if not 1 <= positions * factor <= _MOST_POSITIONS:
        raise DeclarationError(f"{text.name}: {positions} positions stretched by {factor:g}: no model is like that")
    return int(positions * factor)


def _rotary(text: Fields, architecture: str, known: int, table: int, head_dims: tuple[int, int]) -> int:
    """Sines and cosines in all tables: one of the layers that see everything, and for some one of the windows."""
    if architecture.startswith(("OPT", "GPT2", "Bloom")):
        return 0
    near, far = head_dims
    part = min(1.0, text.number("partial_rotary_factor", 1.0))
    far = text.count("qk_rope_head_dim") or int(far * part)
    return table * far + (known * near if architecture.startswith(_WINDOW_TABLES) else 0)


def _windows(text: Fields, layers: int, architecture: str) -> tuple[int, int]:
    """Window and number of layers with one; (0, 0) where all layers see everything."""
    chunk = text.count("attention_chunk_size")
    if chunk:
        return chunk, layers - layers // 4
    window = text.count("sliding_window")
    if not window or text.data.get("use_sliding_window") is False:
        return 0, 0
    if "num_sliding_layers" in text.data:
        return window, min(layers, text.count("num_sliding_layers"))
    kinds = text.data.get("layer_types")
    if isinstance(kinds, list):
        return window, min(layers, sum(kind == "sliding_attention" for kind in kinds))
    usual = next((number for name, number in _WINDOW_PATTERNS.items() if architecture.startswith(name)), 0)
    pattern = text.count("sliding_window_pattern", default=usual)
    return window, layers - layers // pattern if pattern else layers


def _experts(text: Fields, layers: int, architecture: str) -> Experts | None:
    count = text.count("num_experts", "n_routed_experts", "num_local_experts")
    if count < 2:
        return None
    width = text.count("moe_intermediate_size", "intermediate_size", default=-1, least=1)
    always = 1 if architecture.startswith("Llama4") else 0
    beside = text.count("n_shared_experts", default=always)
    shared = text.count("shared_expert_intermediate_size", default=beside * width)
    first_dense, every = (
        text.count("first_k_dense_replace"),
        text.count("interleave_moe_layer_step", default=1, least=1),
    )
    active = text.count("num_experts_per_tok", "moe_topk", "experts_per_token", "top_k_experts", default=-1, least=1)
    return Experts(count, min(active, count), width, shared, max(0, layers - first_dense) // every)


def _mla(text: Fields) -> MLA | None:
    rank = text.count("kv_lora_rank")
    if not rank:
        return None
    query, rope, nope, value = (
        text.count(key) for key in ("q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
    )
    return MLA(rank, query, rope, nope, value, text.count("index_head_dim"), text.count("index_n_heads"))


def _linear(text: Fields, layers: int) -> Linear | None:
    value_heads = text.count("linear_num_value_heads")
    if not value_heads:
        return None
    kinds = text.data.get("layer_types")
    if isinstance(kinds, list):
        number = min(layers, sum(kind == "linear_attention" for kind in kinds))
    else:
        number = layers - layers // text.count("full_attention_interval", default=4, least=1)
    keys = ("linear_num_key_heads", "linear_key_head_dim", "linear_value_head_dim", "linear_conv_kernel_dim")
    key_heads, key_dim, value_dim, kernel = (text.count(key, default=-1, least=1) for key in keys)
    return Linear(number, key_heads, value_heads, key_dim, value_dim, kernel)


def _vision(whole: Fields, architecture: str) -> Vision | None:
    """From ``vision_params_b``, or the tower of a ``vision_config``: layers of attention and a feed-forward part."""
    replicated = whole.flag("vision_replicated", default=architecture.startswith(("Mistral3", "Pixtral")))
    known = whole.number("vision_params_b")
    if known:
        return Vision(known * 1e9, replicated)
    tower = whole.below("vision_config")
    width = tower.count("hidden_size", "width", "vt_hidden_size") if tower else 0
    if tower is None or not width:
        return None
    depth, inner = (
        tower.count("num_hidden_layers", "depth", "layers", "vt_num_hidden_layers"),
        tower.count("intermediate_size", "vt_intermediate_size"),
    )
    gates = 3 if architecture.startswith(("Mistral3", "Pixtral")) else 2
    return Vision(float(depth * (4 * width * width + gates * width * (inner or 4 * width))), replicated)
