"""How one group of layers is quantized, in the words of those who write checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pytest_llmdbench.capacity.fields import Fields
from pytest_llmdbench.capacity.quantization import (
    AWQ,
    FP8,
    GPTQ,
    INT8,
    KNOWN,
    NONE,
    NVFP4,
    Quantization,
    UnknownQuantizationError,
)

#: Bits of a group's scale, of those that keep one of 16 bits; and of what a whole row has about as many.
_SCALE: Final = 16
_ROW: Final = 4096
_FP4_UNPACKED: Final = replace(NVFP4, compute="native")
_MXFP4: Final = Quantization("mxfp4-linear", 4.25, 4.25, "fp4")
_MXFP8: Final = Quantization("mxfp8", 8.25, 8.25, "fp8")
#: NVIDIA's Model Optimizer: its ``quant_algo``, of a model or of a layer.
_ALGORITHMS: Final[Mapping[str, Quantization]] = {
    "fp8": FP8,
    "fp8_per_channel_per_token": FP8,
    "fp8_pb_wo": replace(FP8, block=128),
    "fp8_pb_real": replace(FP8, block=128),
    "mxfp8": _MXFP8,
    "nvfp4": NVFP4,
    "nvfp4_awq": NVFP4,
    "nvfp4_svdquant": NVFP4,
    "w4a8_nvfp4_fp8": NVFP4,
    "w4a16_nvfp4": _FP4_UNPACKED,
    "mxfp4": _MXFP4,
    "w4a8_mxfp4_fp8": _MXFP4,
    "w4a16_awq": AWQ,
    "int4_awq": AWQ,
    "w4a8_awq": AWQ,
    "w8a8_sq_per_channel": INT8,
    "int8_sq": INT8,
    "int8_wo": INT8,
    "w8a16": INT8,
}
#: AMD's Quark: ``dtype`` of a weight.
_QUARK: Final[Mapping[str, Quantization]] = {
    "fp8_e4m3": FP8,
    "fp8_e5m2": FP8,
    "int8": INT8,
    "fp4": _MXFP4,
    "int4": GPTQ,
    "uint4": AWQ,
}


def of_algorithm(word: str, name: str) -> Quantization:
    """What Model Optimizer calls an algorithm. Raises UnknownQuantizationError."""
    if word.lower() in ("", "none", "unquantized"):
        return NONE
    found = _ALGORITHMS.get(word.lower())
    if found is None:
        raise UnknownQuantizationError(f"{name}: the algorithm '{word:.40}' is not known")
    return found


def of_group(group: Fields, name: str) -> Quantization:
    """What a group of ``config_groups`` says: the ``weights`` of compressed-tensors, or an algorithm by its name.

    Raises:
        UnknownQuantizationError: neither.
    """
    weights = group.below("weights")
    algorithm = group.text("quant_algo") or (weights.text("quant_algo") if weights else "")
    return of_algorithm(algorithm, name) if algorithm else _of_weights(weights, name)


def _of_weights(weights: Fields | None, name: str) -> Quantization:
    bits = weights.count("num_bits") if weights else 0
    if weights is None or not bits:
        raise UnknownQuantizationError(f"{name}: a group without 'num_bits' of its 'weights'")
    group = weights.count("group_size")
    if weights.text("type", default="int") == "float":
        blocks = weights.data.get("block_structure")
        block = blocks[0] if isinstance(blocks, list) and blocks and isinstance(blocks[0], int) else 0
        small = _MXFP4 if group == 32 else NVFP4
        large = _MXFP8 if group == 32 else replace(FP8, block=block if 0 < block <= 4096 else 0)
        return small if bits == 4 else large
    if bits == 8:
        return INT8 if not group else replace(GPTQ, linear_bits=8 + _SCALE / group, expert_bits=8 + _SCALE / group)
    sized = bits + _SCALE / (group or 128)
    return replace(GPTQ, linear_bits=sized, expert_bits=sized)


def of_quark(config: Fields | None, name: str) -> Quantization:
    """What Quark says of a layer or of all of them. Raises UnknownQuantizationError."""
    weight = config.below("weight") if config else None
    found = _QUARK.get(weight.text("dtype").lower()) if weight else None
    if found is None:
        raise UnknownQuantizationError(f"{name}: Quark's type of the weights is not known")
    return found


def of_method(config: Fields) -> Quantization:
    """What a ``quant_method`` with its ``bits`` says of all layers. Raises UnknownQuantizationError."""
    algorithm, method = config.text("quant_algo").lower(), config.text("quant_method", default="none").lower()
    bits = config.count("bits", "w_bit")
    if method == "bitsandbytes":
        # For each 64 values of 4 bits a scale, itself of 8 bits where it is quantized twice.
        twice = config.flag("bnb_4bit_use_double_quant")
        sized = 4 + (8 if twice else 32) / 64 if config.flag("load_in_4bit") else 8
        return Quantization("bitsandbytes", sized, sized)
    if method in ("auto-round", "inc", "intel/auto-round"):
        method = "gptq"
    found = _ALGORITHMS.get(algorithm) or KNOWN.get(algorithm or method)
    if found is None:
        raise UnknownQuantizationError(f"{config.name}: the method '{algorithm or method:.40}' is not known")
    if found.name in ("gptq", "awq") and bits:
        # AWQ keeps a zero beside each scale, unpacked.
        sized = bits + (2 if found.name == "awq" else 1) * _SCALE / _group(config)
        found = replace(found, linear_bits=sized, expert_bits=sized)
    return found


def _group(config: Fields) -> int:
    """Weights that share a scale; -1 stands for a whole row."""
    key = "group_size" if config.data.get("group_size") is not None else "q_group_size"
    return _ROW if config.data.get(key) == -1 else config.count(key, default=128, least=1)
