"""How weights are quantized: bits a parameter, which parts, what the products are computed in; and an FP8 KV cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    #: Bits of the head, which is mostly left as it is.
    head_bits: float | None = None
    #: Whether what mixes tokens (attention and the like) has bits of its own, and which.
    own_mixers: bool = False
    own_mixer_bits: float | None = None
    #: Whether the up-projection of latent attention is left as it is.
    plain_up: bool = False

    @property
    def mixer_bits(self) -> float | None:
        """Bits of the matrices of attention and the like; None: as the dtype."""
        return self.own_mixer_bits if self.own_mixers else self.linear_bits


class UnknownQuantizationError(DeclarationError):
    """The bits of a checkpoint's weights cannot be told from its ``quantization_config``."""


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
FP8: Final = Quantization("fp8", 8, 8, "fp8")
INT8: Final = Quantization("w8a8", 8, 8, "fp8")
# Four bits, and for each group of 128 a scale of 16 bits; AWQ also keeps zero points, unpacked by the Marlin kernels.
GPTQ: Final = Quantization("gptq", 4.125, 4.125)
AWQ: Final = Quantization("awq", 4.25, 4.25)
_GPTQ8: Final = Quantization("gptq", 8.125, 8.125)
# Groups of 32 with a scale of 8 bits.
_MXFP4: Final = Quantization("mxfp4", None, 4.25, "fp4")
NVFP4: Final = Quantization("nvfp4", 4.5, 4.5, "fp4")
_INT4_EXPERTS: Final = Quantization("int4-experts", None, 4.5)
_INT8_EXPERTS: Final = Quantization("experts_int8", None, 8)
# For each 64 values a scale of 32 bits.
_NF4: Final = Quantization("bitsandbytes", 4.5, 4.5)

#: What people and checkpoints call it -> what it is.
KNOWN: Final[Mapping[str, Quantization]] = {
    "none": NONE,
    "fp8": FP8,
    "fbgemm_fp8": FP8,
    "modelopt": FP8,
    "w8a8": INT8,
    "int8": INT8,
    "awq": AWQ,
    "awq_marlin": AWQ,
    "gptq": GPTQ,
    "gptq_marlin": GPTQ,
    "w4a16": GPTQ,
    "int4": GPTQ,
    "gptq_int8": _GPTQ8,
    "mxfp4": _MXFP4,
    "gpt_oss_mxfp4": _MXFP4,
    "nvfp4": NVFP4,
    "modelopt_fp4": NVFP4,
    "int4-experts": _INT4_EXPERTS,
    "experts_int8": _INT8_EXPERTS,
    "bitsandbytes": _NF4,
}
#: What checkpoints alone can be: their files tell the bits.
FORMATS: Final = ("compressed-tensors", "quark", "auto-round", "inc", "modelopt_mixed")


def quantization_of(word: str) -> Quantization:
    """What ``--quantization`` names. Raises DeclarationError with the nearest that is known."""
    found = KNOWN.get(word.lower())
    if found is None:
        raise DeclarationError(f"quantization: '{word:.40}' is not known; {nearest(word.lower(), [*KNOWN, *FORMATS])}")
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
