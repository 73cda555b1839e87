"""From a Hugging Face ``config.json``, or an entry of ``data/models.yaml`` in its words, to a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pytest_llmdbench.capacity.architecture import MLA, Experts, Model
from pytest_llmdbench.capacity.fields import Fields
from pytest_llmdbench.capacity.layer_kinds import (
    LayerKind,
    is_there,
    layer_kinds,
    named_layers,
    refuse_unknown_layers,
    window_of,
)
from pytest_llmdbench.capacity.mixture import quantization_of_config
from pytest_llmdbench.capacity.parameters import parameters
from pytest_llmdbench.capacity.quantization import fp8_cache_of_config, quantization_config
from pytest_llmdbench.capacity.states import states
from pytest_llmdbench.capacity.towers import vision_of
from pytest_llmdbench.capacity.words import text_of
from pytest_llmdbench.errors import DeclarationError

#: Where NVIDIA's Model Optimizer says what others say as ``quantization_config`` of the config.json.
BESIDE: Final = "hf_quant_config.json"
_MOST_LAYERS: Final = 2000
_MOST_POSITIONS: Final = 100_000_000
_MOST_PARAMETERS: Final = 1e15
#: Architectures whose windows turn by another base, so have a table of their own.
_WINDOW_TABLES: Final = ("Gemma3", "Gemma4")
#: Architectures whose feed-forward part has two matrices, not three.
_NOT_GATED: Final = (
    "OPT", "PhiForCausalLM", "GPT2", "GPTNeo", "GPTJ", "GPTBigCode", "Bloom", "Starcoder2", "MPT", "Mpt", "Falcon",
    "Nemotron",
)  # fmt: skip
#: Architectures without a table of sines and cosines: positions are learned, or a slope.
_NOT_ROTARY: Final = ("OPT", "GPT2", "GPTBigCode", "Bloom", "MPT", "Mpt", "Jamba", "NemotronH")
#: Architectures that learn a vector for each position, and how many they have beyond the longest request.
_LEARNED: Final[Mapping[str, int]] = {"OPT": 2, "GPT2": 0, "GPTBigCode": 0}
#: Architectures whose head is the embedding where a config.json is silent about it.
_TIED: Final = (
    "Gemma", "PaliGemma", "OPT", "GPT2", "GPTNeoForCausalLM", "GPTBigCode", "Bloom", "Falcon", "MPT", "Mpt", "Cohere",
    "Aya", "Starcoder2", "SmolLM3", "Ernie4_5",
)  # fmt: skip
#: Those that read a text at once and write none.
_ENCODERS: Final = re.compile(
    r"(?:\w{0,20}bert\w{0,40}|roberta\w{0,40}|xlm\w{0,40}|gte\w{0,40}|newmodel|mpnet\w{0,40}|electra\w{0,40}|t5\w{0,40}|"
    r"clip\w{0,40}|siglip\w{0,40}|vit\w{0,40})$",
    re.IGNORECASE,
)


def read_architecture(data: Mapping[str, Any], name: str, *, as_if_plain: bool = False) -> Model:
    """The model of a config.json, or of an entry of ``data/models.yaml``; ``as_if_plain``: with weights in its dtype.

    Raises:
        UnknownQuantizationError: the bits of its weights cannot be told from it.
        DeclarationError: a dimension is missing, of a wrong type or absurd, or layers are of a kind that is not known.
    """
    whole = Fields(data, name)
    architecture = _architecture(whole)
    text = text_of(whole)
    refuse_unknown_layers(text)
    layers = text.count("num_hidden_layers", default=named_layers(text) or -1, least=1)
    heads = text.count("num_attention_heads", default=-1, least=1)
    hidden = text.count("hidden_size", default=-1, least=1)
    if layers > _MOST_LAYERS or heads > hidden:
        raise DeclarationError(
            f"{name}: {layers} layers of {heads} heads on a width of {hidden}: no model is like that"
        )
    many = text.count("num_experts") > 1
    kinds = layer_kinds(text, layers, architecture, experts=many)
    number = {kind: sum(one.mixer == kind for one in kinds) for kind in ("full", "window", "state")}
    if number["state"] == layers:
        raise DeclarationError(f"{name}: no layer has attention: without a KV cache nothing is counted here")
    max_positions, table = _positions(text, architecture)
    experts = _experts(text, kinds, architecture) if many else None
    small = quantization_config(whole.below("quantization_config") or text.below("quantization_config"))
    head_dim = text.count("head_dim", default=hidden // heads, least=1)
    global_head_dim = text.count("global_head_dim", default=head_dim, least=1)
    kv_heads, width = _searched(text, heads, hidden)
    model = Model(
        name=name,
        architecture=architecture,
        hidden=hidden,
        layers=layers,
        attention_layers=number["full"] + number["window"],
        dense_layers=sum(one.feed_forward == "dense" for one in kinds),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=text.count("vocab_size", default=-1, least=1),
        width=width,
        dtype=text.text("torch_dtype", "dtype", default=whole.text("torch_dtype", "dtype", default="bfloat16")),
        max_positions=max_positions,
        tied=text.flag(
            "tie_word_embeddings", default=whole.flag("tie_word_embeddings", default=architecture.startswith(_TIED))
        ),
        attention_bias=text.flag("qkv_bias", default=text.flag("attention_bias", default="Qwen2" in architecture)),
        gated_mlp=text.flag("gated_mlp", default=not architecture.startswith(_NOT_GATED)),
        gated_attention=text.flag("attn_output_gate", default="Qwen3Next" in architecture or "Qwen3_5" in architecture),
        query_norm=text.flag("qk_norm", default="Qwen3" in architecture or "Gemma3" in architecture),
        window=window_of(text) if number["window"] else 0,
        window_layers=number["window"],
        global_kv_heads=text.count("num_global_key_value_heads", default=kv_heads, least=1),
        global_head_dim=global_head_dim,
        learned_positions=_learned(text, architecture),
        borrowing_layers=min(layers - 1, text.count("num_kv_shared_layers")),
        layer_embedding=text.count("hidden_size_per_layer_input"),
        detour=text.count("laurel_rank"),
        rotary=_rotary(text, architecture, max_positions, table, (head_dim, global_head_dim)),
        mla=_mla(text),
        experts=experts,
        linear=states(text, number["state"], hidden),
        vision=vision_of(whole, architecture, hidden),
        fp8_cache=fp8_cache_of_config(small),
        published_b=whole.number("params_b"),
        source=whole.text("source", default=f"config.json of {name}"),
    )
    if parameters(model).total(model) > _MOST_PARAMETERS:
        raise DeclarationError(f"{name}: more than {_MOST_PARAMETERS:g} parameters: no model is like that")
    return model if as_if_plain else replace(model, quantization=quantization_of_config(small, model, kinds))


def _architecture(whole: Fields) -> str:
    """The class of the model. Raises DeclarationError for one that writes no text."""
    named = whole.data.get("architectures")
    first = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    found = whole.text("architecture") or first
    if _ENCODERS.match(found):
        raise DeclarationError(
            f"{whole.name}: {found} is an encoder, which keeps no KV cache and writes no text: what it needs is not "
            "counted here"
        )
    return found


def _searched(text: Fields, heads: int, hidden: int) -> tuple[int, int]:
    """KV heads, and the width of layers without experts; the most and the mean where layers differ."""
    kv_heads = text.count("num_key_value_heads", default=heads, least=1)
    width = text.count("intermediate_size_mlp", "dense_intermediate_size", "intermediate_size", default=4 * hidden)
    parts = [(one.below("attention"), one.below("ffn")) for one in _blocks(text)]
    groups = [one.count("n_heads_in_group", default=1, least=1) for one, _ in parts if one and is_there(one)]
    widths = [_width(one, hidden) for _, one in parts if one and is_there(one)]
    return (
        max(heads // min(groups), 1) if groups else kv_heads,
        round(sum(widths) / len(widths) / 256) * 256 if widths else width,
    )


def _blocks(text: Fields) -> list[Fields]:
    blocks = text.data.get("block_configs")
    return [Fields(one, text.name) for one in blocks] if isinstance(blocks, list) else []


def _width(part: Fields, hidden: int) -> int:
    """A width that is said, or said as a multiple of that of the model."""
    said = int(2 * min(64.0, part.number("ffn_mult", 1.0)) * hidden / 3)
    return part.count("intermediate_size") or -(-said // 256) * 256


def _learned(text: Fields, architecture: str) -> int:
    more = next((more for name, more in _LEARNED.items() if architecture.startswith(name)), None)
    usual = 0 if more is None else text.count("max_position_embeddings") + more
    return text.count("learned_positions", default=usual)


def _positions(text: Fields, architecture: str) -> tuple[int, int]:
    """Positions that the model knows, and those of its table of sines and cosines, as vLLM stretches both."""
    longest = ("model_max_length",) if architecture.startswith(("Cohere", "Aya")) else ()
    usual = 262144 if architecture.startswith("Jamba") else 2048
    known = text.count(*longest, "max_position_embeddings", default=usual, least=1)
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
    if architecture.startswith(_NOT_ROTARY) or text.text("position_embedding_type") == "nope":
        return 0
    near, far = head_dims
    part = min(1.0, text.number("partial_rotary_factor", 1.0))
    far = text.count("qk_rope_head_dim") or int(far * part)
    return table * far + (known * near if architecture.startswith(_WINDOW_TABLES) else 0)


def _experts(text: Fields, kinds: Sequence[LayerKind], architecture: str) -> Experts:
    width = text.count("moe_intermediate_size", "intermediate_size", default=-1, least=1)
    always = 1 if architecture.startswith("Llama4") else 0
    beside = text.count("n_shared_experts", default=always)
    # Where a width is said for all that are shared, their number is not multiplied with it; Gemma has a dense part.
    usual = text.count("intermediate_size") if architecture.startswith("Gemma4") else beside * width
    shared = text.count("shared_expert_intermediate_size", default=usual)
    count, active = text.count("num_experts"), text.count("num_experts_per_tok", default=-1, least=1)
    layers, latent = sum(one.feed_forward == "experts" for one in kinds), text.count("moe_latent_size")
    return Experts(count, min(active, count), width, shared, layers, latent)


def _mla(text: Fields) -> MLA | None:
    rank = text.count("kv_lora_rank")
    if not rank:
        return None
    query, rope, nope, value = (
        text.count(key) for key in ("q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim")
    )
    return MLA(rank, query, rope, nope, value, text.count("index_head_dim"), text.count("index_n_heads"))
