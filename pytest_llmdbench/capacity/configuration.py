"""A vLLM engine on a GPU, as it would be started: flags by their own names, and what vLLM takes by itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.gpus import Gpu
from pytest_llmdbench.capacity.quantization import Fp8Cache
from pytest_llmdbench.errors import DeclarationError, nearest

Version: TypeAlias = tuple[int, int]

#: The release that is taken where nobody says one.
#: It is also the newest that the formulas were compared with.
DEFAULT_VERSION: Final = "0.26.0"
#: The first release with the engine that these formulas are of.
V1: Final[Version] = (0, 8)
#: The engine before took prompts up to here in one step.
_LONGEST_STEP: Final = 32768
#: Types of weights and activations, as ``--dtype`` takes them, and bytes of an element.
_WEIGHTS: Final = {"float32": 4, "float": 4, "bfloat16": 2, "float16": 2, "half": 2}
#: The same of the KV cache, as ``--kv-cache-dtype`` takes them.
_CACHE: Final = {
    "bfloat16": 2, "float16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "fp8_inc": 1, "fp8_ds_mla": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Configuration:
    """An engine: what is None is left to vLLM. ``memory_gib`` is what the driver reports, where it is known better.

    ``offline`` are the defaults of the ``LLM`` class, not of ``vllm serve``. ``hybrid_kv``: layers with a window keep
    only the window, which KV connectors prevent. ``enable_prefix_caching``: it was asked for, which counts for layers
    with a state of fixed size, where vLLM does not do it by itself. ``cpu_offload_gb`` are GiB of a GPU's weights in
    the host's memory. ``unread`` are further flags, by name, that may change what fits and are not counted.
    """

    model: Model
    gpu: Gpu
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    enable_expert_parallel: bool = False
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    block_size: int | None = None
    dtype: str = "auto"
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    enable_chunked_prefill: bool = True
    hybrid_kv: bool = True
    enable_prefix_caching: bool = False
    cpu_offload_gb: float = 0.0
    offline: bool = False
    memory_gib: float | None = None
    version: str = DEFAULT_VERSION
    #: What an earlier start had more of KV cache on each GPU than was estimated, GiB.
    correction_gib: float = 0.0
    unread: tuple[str, ...] = ()

    @property
    def release(self) -> Version:
        """``(0, 19)`` of ``0.19.0``."""
        return release_of(self.version)

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size

    @property
    def nodes(self) -> int:
        """Nodes of one replica."""
        return -(-self.gpus // self.gpu.node)

    @property
    def expert_ranks(self) -> int:
        """Ranks that share the experts of a layer: vLLM spreads them over data parallel ranks as well."""
        return self.tensor_parallel_size * self.data_parallel_size

    @property
    def length(self) -> int:
        """Longest prompt and answer together, tokens."""
        return self.max_model_len or self.model.max_positions

    @property
    def total_gib(self) -> float:
        """The GPU's memory as the driver reports it."""
        return self.memory_gib or self.gpu.memory_gib

    @property
    def utilization(self) -> float:
        """Share of it that vLLM takes."""
        return self.gpu_memory_utilization or (0.92 if self.release >= (0, 21) else 0.9)

    @property
    def sequences(self) -> int:
        """Most requests in a batch."""
        return self.max_num_seqs or min(1024 if self._large else 256, self.tokens)

    @property
    def chunked(self) -> bool:
        """Whether long prompts are computed in parts: before V1 only where one would not go in a step."""
        if self.release < V1 and (self.length <= _LONGEST_STEP or self.model.mla):
            return False
        return self.enable_chunked_prefill

    @property
    def tokens(self) -> int:
        """Most tokens in a step."""
        if self.max_num_batched_tokens:
            return self.max_num_batched_tokens
        if self.release < V1:
            tokens = 2048
        elif self.offline:
            tokens = 16384 if self._large else 8192
        elif self.total_gib >= 160 and self.release >= (0, 17):
            tokens = 16384
        else:
            tokens = 8192 if self._large else 2048
        return tokens if self.chunked else max(tokens, self.length)

    @property
    def _large(self) -> bool:
        return self.release >= V1 and self.total_gib >= 70 and not self.gpu.name.startswith("A100")

    @property
    def block(self) -> int:
        """Tokens in a block of the KV cache."""
        return self.block_size or 16

    @property
    def bytes(self) -> int:
        """Bytes of an activation, and of a weight that is not quantized."""
        if self.dtype == "auto":  # vLLM makes 16 bits of what a checkpoint has in 32
            return min(2, _bytes_of(self.model.dtype, f"dtype of {self.model.name}", _WEIGHTS))
        return _bytes_of(self.dtype, "dtype", _WEIGHTS)

    @property
    def fp8_cache(self) -> Fp8Cache | None:
        """The checkpoint's wish for a KV cache in FP8, where this engine heeds it: no flag says otherwise."""
        asked = self.model.fp8_cache
        return asked if asked and self.kv_cache_dtype == "auto" and self.release >= asked.since else None

    @property
    def kv_type(self) -> str:
        """The type of the KV cache by vLLM's name; ``auto`` where it is that of the activations."""
        return "fp8" if self.fp8_cache else self.kv_cache_dtype

    @property
    def kv_bytes(self) -> int:
        """Bytes of an element of the KV cache."""
        return self.bytes if self.kv_type == "auto" else _bytes_of(self.kv_type, "kv_cache_dtype", _CACHE)


def release_of(version: str) -> Version:
    """Major and minor number. Raises DeclarationError where there is none."""
    match = re.match(r"v?(\d{1,4})\.(\d{1,4})", version)
    if match is None:
        raise DeclarationError(f"vLLM version: '{version}' is none; say one like {DEFAULT_VERSION}")
    return int(match[1]), int(match[2])


def newer_than_known(version: str) -> str | None:
    """A note on a release that is newer than those the formulas were compared with; None on the others."""
    if release_of(version) <= release_of(DEFAULT_VERSION):
        return None
    return f"vLLM {version} is newer than {DEFAULT_VERSION}, whose rules these are"


def _bytes_of(dtype: str, flag: str, types: Mapping[str, int]) -> int:
    """Bytes of one element. Raises DeclarationError with the types that the flag takes."""
    found = types.get(dtype.lower().removeprefix("torch."))
    if found is None:
        other = (
            "; weights in FP8 are --quantization fp8" if types is _WEIGHTS and dtype.lower().startswith("fp8") else ""
        )
        raise DeclarationError(
            f"{flag}: '{dtype}' is none of its types; {nearest(dtype.lower(), ['auto', *types])}{other}"
        )
    return found
