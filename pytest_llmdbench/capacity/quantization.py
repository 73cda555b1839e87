"""How weights are quantized: bits a parameter, which parts, what the products are computed in; and an FP8 KV cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from pytest_llmdbench.capacity.fields import Fields
from pytest_llmdbench.errors import DeclarationError, nearest

Compute = Literal["native", "fp8", "fp4"]


@dataclass(frozen=True, slots=True)
class Quantization:
    """Bits of a parameter, scales included; None: as the dtype. Embeddings, norms, routers and vision stay as they are.

    ``block`` is the side of a block of weights that shares a scale: a rank's share of a layer must be a multiple.
    """

    name: str
    linear_bits: float | None = None
    expert_bits: float | None = None
    compute: Compute = "native"
    block: int = 0


@dataclass(frozen=True, slots=True)
class Fp8Cache:
    """A checkpoint's wish for a KV cache in FP8: the first release of vLLM that heeds it, and how it is known."""

    since: tuple[int, int]
    why: str = "as the checkpoint asks"


#: Beginnings of methods that have one. vLLM resolves ``auto`` by what Model Optimizer wrote (vllm-project/vllm#30785;
#: not method ``fp8``), and an attention layer takes that of llm-compressor (#30141).
_CACHES: Final = {"modelopt": Fp8Cache((0, 14)), "compressed-tensors": Fp8Cache((0, 15))}
#: That of a checkpoint which is known by its name alone.
NVIDIA_CACHE: Final = Fp8Cache(
    (0, 14), "as NVIDIA's quantized checkpoints nearly all ask (vLLM's --kv-cache-dtype bfloat16 where one does not)"
)

NONE: Final = Quantization("none")
_FP8: Final = Quantization("fp8", 8, 8, "fp8")
_INT8: Final = Quantization("w8a8", 8, 8, "fp8")
# Four bits, and for each group of 128 a scale of 16 bits; AWQ also keeps zero points, unpacked by the Marlin kernels.
_GPTQ: Final = Quantization("gptq", 4.125, 4.125)
_AWQ: Final = Quantization("awq", 4.25, 4.25)
_GPTQ8: Final = Quantization("gptq", 8.125, 8.125)
# Groups of 32 with a scale of 8 bits.
_MXFP4: Final = Quantization("mxfp4", None, 4.25, "fp4")
_NVFP4: Final = Quantization("nvfp4", 4.5, 4.5, "fp4")
_INT4_EXPERTS: Final = Quantization("int4-experts", None, 4.5)

#: What people and checkpoints call it -> what it is.
KNOWN: Final[Mapping[str, Quantization]] = {
    "none": NONE,
    "fp8": _FP8,
    "fbgemm_fp8": _FP8,
    "modelopt": _FP8,
    "w8a8": _INT8,
    "int8": _INT8,
    "awq": _AWQ,
    "awq_marlin": _AWQ,
    "gptq": _GPTQ,
    "gptq_marlin": _GPTQ,
    "w4a16": _GPTQ,
    "int4": _GPTQ,
    "gptq_int8": _GPTQ8,
    "mxfp4": _MXFP4,
    "gpt_oss_mxfp4": _MXFP4,
    "nvfp4": _NVFP4,
    "modelopt_fp4": _NVFP4,
    "int4-experts": _INT4_EXPERTS,
}


def quantization_of(word: str) -> Quantization:
    """What ``--quantization`` names. Raises DeclarationError with the nearest that is known."""
    found = KNOWN.get(word.lower())
    if found is None:
        raise DeclarationError(f"quantization: '{word}' is not known; {nearest(word.lower(), KNOWN)}")
    return found


def quantization_config(config: Fields | None) -> Fields | None:
    """A ``quantization_config`` with what Model Optimizer writes one level lower brought up.

    Raises:
        DeclarationError: what is there is not keys and values.
    """
    inner = config.below("quantization") if config else None
    if config is None or inner is None:
        return config
    said: dict[str, Any] = {key: value for key, value in inner.data.items() if value is not None}
    return Fields({"quant_method": "modelopt", "quant_algo": "none", **config.data, **said}, config.name)


def fp8_cache_of_config(config: Fields | None) -> Fp8Cache | None:
    """The KV cache in FP8 that a ``quantization_config`` asks for, of a method where vLLM heeds it.

    Raises:
        DeclarationError: the method is no text.
    """
    method = config.text("quant_method").lower() if config else ""
    found = next((cache for beginning, cache in _CACHES.items() if method.startswith(beginning)), None)
    if config is None or found is None:
        return None
    asked = config.data.get("kv_cache_scheme") or config.data.get("kv_cache_quant_algo")
    if isinstance(asked, Mapping):
        fp8 = asked.get("num_bits") == 8 and asked.get("type") == "float" and not asked.get("dynamic")
    else:
        fp8 = isinstance(asked, str) and asked.lower() == "fp8"
    return found if fp8 else None


def quantization_of_config(config: Fields | None, *, experts: bool) -> Quantization:
    """What ``quantization_config`` of a config.json says of a model with or without ``experts``.

    Raises:
        DeclarationError: a method that is not known.
    """
    if config is None:
        return NONE
    method = config.text("quant_algo", "quant_method", default="none").lower()
    found = _compressed(config) if method == "compressed-tensors" else quantization_of(method)
    bits = config.count("bits")
    if found in (_GPTQ, _AWQ) and bits == 8:
        found = _GPTQ8
    blocks = config.data.get("weight_block_size")
    if isinstance(blocks, list) and blocks and isinstance(blocks[0], int) and 0 < blocks[0] <= 4096:
        found = replace(found, block=blocks[0])
    left_out = config.data.get("ignore") or config.data.get("exclude_modules")
    if experts and isinstance(left_out, list) and any("self_attn" in str(one) for one in left_out):
        # Attention as it is, and with it all that is no expert: most of the weights are experts.
        found = replace(found, linear_bits=None)
    return found


def _compressed(config: Fields) -> Quantization:
    """The format of the first group of layers: enough for its size."""
    groups = config.below("config_groups")
    first = next(iter(groups.data), None) if groups else None
    group = groups.below(first) if groups and first is not None else None
    weights = group.below("weights") if group else None
    if weights is None:
        raise DeclarationError(f"{config.name}: no 'config_groups' with 'weights'; the bits of the weights are unknown")
    bits, kind = weights.count("num_bits", default=-1, least=1), weights.text("type", default="int")
    if bits == 4:
        small = weights.count("group_size", default=128) <= 32
        return _NVFP4 if kind == "float" else replace(_GPTQ, linear_bits=4.5, expert_bits=4.5) if small else _GPTQ
    return _FP8 if kind == "float" else _INT8
