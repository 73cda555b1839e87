"""What each layer of a model is made of, from the many ways in which config.json files tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pytest_llmdbench.capacity.fields import Fields
from pytest_llmdbench.errors import DeclarationError

Mixer = Literal["full", "window", "state", "none"]
FeedForward = Literal["dense", "experts", "none"]

#: One layer in so many sees everything, where a config.json does not say which.
_WINDOW_PATTERNS: Final[Mapping[str, int]] = {"Gemma2": 2, "Gemma3": 6, "GptOss": 2}
#: Words for the kinds of layers.
_MIXERS: Final[Mapping[str, Mixer]] = {
    "full_attention": "full",
    "deepseek_sparse_attention": "full",
    "attention": "full",
    "sliding_attention": "window",
    "chunked_attention": "window",
    "linear_attention": "state",
    "mamba": "state",
    "mamba2": "state",
}
#: The letters of Nemotron-H's pattern, which has one half of a layer for each, and later words for them.
_HALVES: Final[Mapping[str, str]] = {"mamba": "M", "attention": "*", "mlp": "-", "moe": "E"}
_LETTERS: Final[Mapping[str, tuple[Mixer, FeedForward]]] = {
    "M": ("state", "none"),
    "*": ("full", "none"),
    "-": ("none", "dense"),
    "E": ("none", "experts"),
}
#: Keys of layers that nothing here counts, and what they are of.
_UNKNOWN: Final[Mapping[str, str]] = {
    "is_encoder_decoder": "an encoder beside the decoder",
    "state_size": "a state space in each layer",
    "mamba_d_ssm": "a state space beside the attention of a layer",
    "mb_per_layer": "a decoder that looks into the cache of another",
    "lru_width": "recurrence",
    "conv_L_cache": "short convolution",
    "linear_attn_config": "Kimi's delta attention",
    "hybrid_layer_pattern": "a window with heads of its own",
    "layer_group_size": "lightning attention",
    "zero_expert_num": "two attentions a layer",
    "share_q_dim": "attention with shared queries",
    "compress_ratios": "a compressed KV cache",
}
#: Keys of state spaces, which some layers have beside others with attention.
_STATES: Final = ("mamba_d_state", "mamba_n_heads", "mamba_num_heads", "ssm_state_size")
#: The rest of a sentence that refuses others.
_KNOWN: Final = "which is not counted here; full, windowed and latent attention, gated DeltaNet, Mamba and experts are"


@dataclass(frozen=True, slots=True)
class LayerKind:
    """One layer: what mixes tokens in it, and its feed-forward part."""

    mixer: Mixer
    feed_forward: FeedForward


def refuse_unknown_layers(text: Fields) -> None:
    """Raise DeclarationError for layers of a kind that nothing here counts."""
    for key, what in _UNKNOWN.items():
        if text.data.get(key):
            raise DeclarationError(f"{text.name}: '{key}' tells of {what}, {_KNOWN}")
    kinds = text.data.get("attn_type_list")
    if isinstance(kinds, list) and 0 in kinds:
        raise DeclarationError(f"{text.name}: 'attn_type_list' tells of lightning attention, {_KNOWN}")


def layer_kinds(text: Fields, layers: int, architecture: str, *, experts: bool) -> list[LayerKind]:
    """All layers in their order.

    Raises:
        DeclarationError: the config.json contradicts itself, or names a kind that is not known.
    """
    blocks = text.data.get("block_configs")
    if blocks is not None:
        return [LayerKind(mixer, forward) for mixer, forward in _blocks(blocks, layers, text.name)]
    halves = text.data.get("layers_block_type")
    if isinstance(halves, list):
        letters = [_HALVES.get(one, "?") if isinstance(one, str) else "?" for one in halves]
        return _pattern("".join(letters), layers, f"{text.name}: 'layers_block_type'")
    pattern = text.text("hybrid_override_pattern")
    if pattern:
        return _pattern(pattern, layers, f"{text.name}: 'hybrid_override_pattern'")
    mixers = _mixers(text, layers, architecture)
    own = _expert_layers(text, layers) if experts else set()
    plain: FeedForward = "dense"
    return [LayerKind(mixer, "experts" if one in own else plain) for one, mixer in enumerate(mixers)]


def named_layers(text: Fields) -> int:
    """How many layers are named one by one; 0 where they are not."""
    halves = text.data.get("layers_block_type")
    return len(halves) if isinstance(halves, list) else 0


def _pattern(pattern: str, layers: int, place: str) -> list[LayerKind]:
    if set(pattern) - set(_LETTERS) or len(pattern) != layers:
        known = ", ".join(f"{letter} or {word}" for word, letter in _HALVES.items())
        raise DeclarationError(f"{place} has {len(pattern)} halves for {layers} layers; they are {known}")
    return [LayerKind(*_LETTERS[letter]) for letter in pattern]


def _blocks(blocks: Any, layers: int, name: str) -> list[tuple[Mixer, FeedForward]]:
    """Layers that NVIDIA's search left out in part: its ``block_configs``."""
    if not isinstance(blocks, list) or len(blocks) != layers or not all(isinstance(one, Mapping) for one in blocks):
        raise DeclarationError(f"{name}: 'block_configs' must be keys and values for each of the {layers} layers")
    made: list[tuple[Mixer, FeedForward]] = []
    for one in blocks:
        attention, forward = (Fields(one, name).below(part) for part in ("attention", "ffn"))
        made.append(("full" if is_there(attention) else "none", "dense" if is_there(forward) else "none"))
    return made


def is_there(part: Fields | None) -> bool:
    """Whether a part of a layer in ``block_configs`` is one of the usual kind."""
    if part is None or part.flag("no_op"):
        return False
    if part.flag("replace_with_linear"):
        raise DeclarationError(f"{part.name}: 'replace_with_linear' tells of a plain product for it, {_KNOWN}")
    return True


def _mixers(text: Fields, layers: int, architecture: str) -> Sequence[Mixer]:
    named = text.data.get("layer_types")
    if isinstance(named, list):
        return _named(named, layers, text)
    if text.data.get("attn_layer_period") is not None:
        period, offset = text.count("attn_layer_period", least=1), text.count("attn_layer_offset")
        return [("full" if one % period == offset else "state") for one in range(layers)]
    if isinstance(own := text.data.get("attn_layer_indices"), list):
        return [("full" if one in own else "state") for one in range(layers)]
    if (key := next((one for one in _STATES if text.data.get(one)), None)) is not None:
        raise DeclarationError(f"{text.name}: '{key}' tells of Mamba, and nothing which layers it is in")
    if text.count("linear_num_value_heads"):
        interval = text.count("full_attention_interval", default=4, least=1)
        return _every(interval, layers, "state")
    if text.count("attention_chunk_size"):
        return _every(4, layers, "window")
    return _windows(text, layers, architecture)


def _named(named: list[Any], layers: int, text: Fields) -> Sequence[Mixer]:
    kinds = [_MIXERS.get(one) if isinstance(one, str) else None for one in named[:layers]]
    if None in kinds:
        odd = named[kinds.index(None)]
        raise DeclarationError(f"{text.name}: 'layer_types' has {odd!r:.60}, {_KNOWN}")
    window = text.count("attention_chunk_size") or _window(text)
    found: list[Mixer] = ["full"] * layers
    for number, one in enumerate(kinds):
        found[number] = one if one and (one != "window" or window) else "full"
    return found


def _windows(text: Fields, layers: int, architecture: str) -> Sequence[Mixer]:
    if not _window(text):
        return _every(1, layers, "window")
    if "num_sliding_layers" in text.data:
        number = text.count("num_sliding_layers")
        return ["window" if one < number else "full" for one in range(layers)]
    usual = next((number for name, number in _WINDOW_PATTERNS.items() if architecture.startswith(name)), 0)
    pattern = text.count("sliding_window_pattern", default=usual)
    return _every(pattern or layers + 1, layers, "window")


def _window(text: Fields) -> int:
    """The sliding window, tokens; 0 where it is not used."""
    return 0 if text.data.get("use_sliding_window") is False else text.count("sliding_window")


def window_of(text: Fields) -> int:
    """The sliding or chunked window, tokens; 0 where there is none."""
    return text.count("attention_chunk_size") or _window(text)


def _every(interval: int, layers: int, others: Mixer) -> Sequence[Mixer]:
    """The last of each ``interval`` layers sees everything."""
    return ["full" if (one + 1) % interval == 0 else others for one in range(layers)]


def _expert_layers(text: Fields, layers: int) -> set[int]:
    """Which layers have experts, by the words of whoever made the model."""
    without = text.data.get("mlp_only_layers")
    first = text.count("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")
    last = text.count("moe_layer_end_index", default=layers)
    own = {one for one in range(layers) if first <= one <= last}
    if isinstance(freq := text.data.get("moe_layer_freq"), list):
        own &= {one for one, flag in enumerate(freq) if flag}
    elif text.count("expert_layer_period"):
        period, offset = text.count("expert_layer_period", least=1), text.count("expert_layer_offset")
        own = {one for one in own if one % period == offset}
    else:
        words = ("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval", "moe_layer_freq")
        every = text.count(*words, default=1, least=1)
        own = {one for one in own if (one + 1 - first) % every == 0}
    return own - set(without) if isinstance(without, list) and all(isinstance(one, int) for one in without) else own
