"""The words of a ``config.json``: the part that is of the text, in the words that most architectures use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_llmdbench.capacity.fields import Fields
from pytest_llmdbench.errors import DeclarationError

#: Where models with pictures or sound have their text; of those that also speak, one level lower.
_TEXT: Final = ("text_config", "llm_config", "language_config")
_THINKER: Final = "thinker_config"
#: Parts of a config.json that hold what others have beside them (DBRX, MPT).
_INNER: Final = ("attn_config", "ffn_config")
#: The word of most architectures -> what others call it.
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "num_key_value_heads": ("num_kv_heads", "kv_n_heads", "multi_query_group_num"),
    "hidden_size": ("n_embd", "d_model"),
    "head_dim": ("attention_head_dim", "kv_channels"),
    "intermediate_size": ("ffn_dim", "n_inner", "ffn_hidden_size"),
    "vocab_size": ("padded_vocab_size",),
    "max_position_embeddings": ("n_positions", "max_seq_len", "seq_length"),
    "partial_rotary_factor": ("rotary_pct",),
    "qkv_bias": ("add_qkv_bias",),
    "num_experts": ("n_routed_experts", "num_local_experts", "moe_num_experts"),
    "num_experts_per_tok": ("moe_topk", "moe_top_k", "moe_k", "experts_per_token", "top_k_experts"),
    "n_shared_experts": ("num_shared_experts", "num_shared_expert", "moe_num_shared_experts"),
    "shared_expert_intermediate_size": ("moe_shared_expert_intermediate_size", "shared_intermediate_size"),
}
#: Words that some architectures say for each layer.
_MEANS: Final = ("intermediate_size", "moe_intermediate_size", "num_experts_per_tok", "n_shared_experts")
#: What transformers takes for what the text of a model with pictures leaves out.
_LLAMA: Final = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32,
}  # fmt: skip
_TAKEN: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA | {"intermediate_size": 14336, "num_key_value_heads": 8, "max_position_embeddings": 131072},
    "qwen2": _LLAMA | {"vocab_size": 151936, "intermediate_size": 22016, "max_position_embeddings": 32768},
    "gemma3_text": {
        "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
}  # fmt: skip


def text_of(whole: Fields) -> Fields:
    """The part of a config.json that is of the text, in the usual words.

    Raises:
        DeclarationError: a part that is no keys and values, or an absurd list of sizes.
    """
    outer = whole.below(_THINKER) or whole
    parts = (outer.below(key) for key in _TEXT)
    text = next((part for part in parts if part), outer)
    data = dict(text.data)
    for key in _INNER:
        inner = text.below(key)
        data = {**(inner.data if inner else {}), **data}
    if text is not outer:
        data = {**_TAKEN.get(text.text("model_type"), {}), **_present(data)}
    for usual, others in _WORDS.items():
        if data.get(usual) is None and (found := next((one for one in others if data.get(one) is not None), None)):
            data[usual] = data[found]
    data.update(_means(data, text.name))
    if data.get("multi_query") is True and not data.get("new_decoder_architecture"):
        data["num_key_value_heads"] = 1
    return Fields(data, text.name)


def _present(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _means(data: Mapping[str, Any], name: str) -> Iterator[tuple[str, int]]:
    """Of a size for each layer the mean: memory and time are sums."""
    for key in _MEANS:
        values = data.get(key)
        if isinstance(values, list):
            if not values or not all(isinstance(one, int) and not isinstance(one, bool) for one in values):
                raise DeclarationError(f"{name}: '{key}' is {values!r:.60}, it must be whole numbers, one a layer")
            yield key, round(sum(values) / len(values))
