"""Can a vLLM on this machine's processors start: asked before it is. Pure.

There vLLM holds weights and KV cache in the machine's own memory, and the cache has the size that
``VLLM_CPU_KVCACHE_SPACE`` says, whatever is left. It finds out what does not fit only once it has read the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.engines import is_changed
from pytest_llmdbench.capacity.gpus import Gpu
from pytest_llmdbench.capacity.kv_cache import layout
from pytest_llmdbench.capacity.models import known_architectures
from pytest_llmdbench.capacity.overhead import GIB
from pytest_llmdbench.capacity.placement import check_sizes
from pytest_llmdbench.capacity.weights import weights_bytes
from pytest_llmdbench.declared.engine import Vllm
from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.errors import DeclarationError

#: The variable that says how many GiB the KV cache of each rank has, and its key in a scenario.
SPACE: Final = "VLLM_CPU_KVCACHE_SPACE"
_SPACE_KEY: Final = f"pods.env.{SPACE}"
#: What vLLM 0.32 itself takes, all its processes together, GiB: 1.36 with a model of a megabyte.
VLLM_GIB: Final = 1.3
#: Tokens of a step where nobody says it, for each rank.
_STEP: Final = 2048
#: In the place of a GPU: nothing of what is asked here depends on one.
_PROCESSORS: Final = Gpu(
    name="processors", names=(), vendor="cpu", capability=0, memory_gib=0, bandwidth=0, link=0, nvlink=False, bf16=0,
    fp16=0, fp8=0, fp4=0, node=1,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """Memory of this machine, or what its control group leaves of it, GiB: what is free now, and all of it."""

    available: float
    total: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What one engine takes of the machine's memory, GiB, all its ranks together, and what its KV cache holds.

    ``space`` is the cache of each rank; ``request`` is what it has to be for one request of the greatest length.
    """

    config: Configuration
    space: int
    weights: float
    request: float
    tokens: int
    concurrency: float

    @property
    def ranks(self) -> int:
        """Processes that hold weights, each with a KV cache of its own."""
        return self.config.gpus

    @property
    def needed(self) -> float:
        """Weights, KV cache and vLLM itself."""
        return self.weights + self.space * self.ranks + VLLM_GIB

    @property
    def text(self) -> str:
        """One sentence on where the memory goes."""
        return (
            f"about {self.weights:.1f} GiB of weights and {self.space * self.ranks} GiB of KV cache, which holds "
            f"{self.tokens:,} tokens: {self.concurrency:.1f} requests of {self.config.length:,}"
        )


def fit(model: Model, flags: Vllm, pods: Pods, space: str, version: str) -> Fit | None:
    """The memory of a scenario's engine with all of its ``flags``; None where it is not known well enough.

    ``space`` is what :data:`SPACE` will be.

    Raises:
        DeclarationError: vLLM does not take this ``space``.
    """
    checked = model.architecture in known_architectures() and not model.linear
    if not checked or not space or is_changed(pods) or flags.pipeline_parallel_size > model.layers:
        return None
    gib = _whole(space)
    try:
        return _fit(_configuration(model, flags, version), gib)
    except DeclarationError:  # a size or a type that vLLM may know
        return None


def _configuration(model: Model, flags: Vllm, version: str) -> Configuration:
    return Configuration(
        model,
        _PROCESSORS,
        flags.tensor_parallel_size,
        flags.pipeline_parallel_size,
        flags.data_parallel_size,
        bool(flags.enable_expert_parallel),
        max_model_len=flags.max_model_len,
        max_num_seqs=flags.max_num_seqs,
        max_num_batched_tokens=flags.max_num_batched_tokens or _STEP * flags.gpus,
        # The kernels of latent attention know no other block.
        block_size=16 if model.mla else flags.block_size,
        dtype=flags.dtype or "auto",
        kv_cache_dtype=flags.kv_cache_dtype or "auto",
        version=version,
    )


def _fit(config: Configuration, gib: int) -> Fit:
    check_sizes(config)
    stages = range(config.pipeline_parallel_size)
    copies = config.tensor_parallel_size * config.data_parallel_size
    rooms = [layout(config, stage) for stage in stages]
    concurrency = min(int(gib * GIB / room.block_bytes) / room.blocks(config.length, config.tokens) for room in rooms)
    return Fit(
        config=config,
        space=gib,
        weights=copies * sum(weights_bytes(config, stage) for stage in stages) / GIB,
        request=_request(config) / GIB,
        tokens=int(concurrency * config.length),
        concurrency=concurrency,
    )


def trouble(found: Fit, memory: MachineMemory) -> str | None:
    """Why the engine cannot start on this machine, with the key that mends it and its value; None where it may."""
    model, length = found.config.model, found.config.length
    if length > model.max_positions:
        return (
            f"{length:,} tokens are more than the {model.max_positions:,} positions that {model.name} knows. "
            f"Set vllm.max_model_len: {model.max_positions}"
        )
    room = math.floor((memory.available - VLLM_GIB - found.weights) / found.ranks)
    if found.needed > memory.available:
        return _too_large(found, memory, room)
    if found.request <= found.space:
        return None
    ways = [f"vllm.max_model_len: {_longest(found.config, found.space)} (the longest request that has its place there)"]
    if (more := math.ceil(found.request)) <= room:
        ways.append(f"{_SPACE_KEY}: {more} ({memory.available:.1f} GiB are free)")
    unsaid = "" if found.config.max_model_len else " (as many as the model knows, as vllm.max_model_len is not set)"
    needs = math.ceil(100 * found.request) / 100
    return (
        f"one request of {length:,} tokens{unsaid} needs {needs:.2f} GiB of KV cache, and {SPACE} is {found.space}. "
        f"Set {'; or '.join(ways)}"
    )


def _too_large(found: Fit, memory: MachineMemory, room: int) -> str:
    """``room`` is what each rank may have of KV cache, GiB."""
    each = f" for each of {found.ranks} ranks" if found.ranks > 1 else ""
    why = (
        f"{found.config.model.name} needs {found.needed:.1f} GiB of memory, and of {memory.total:.1f} here "
        f"{memory.available:.1f} are free: weights {found.weights:.1f}, KV cache {found.space}{each} ({SPACE}), vLLM "
        f"itself {VLLM_GIB:g}"
    )
    if room >= 1:
        shorter = f" and vllm.max_model_len: {_longest(found.config, room)}" if found.request > room else ""
        return f"{why}. Set {_SPACE_KEY}: {room}{shorter}"
    billions = (memory.available - VLLM_GIB - found.ranks) * GIB / found.config.bytes / 1e9
    smaller = f": one of {billions:.1f} billion parameters has room" if billions >= 0.1 else ", and end other programs"
    return f"{why}. Set model.name to a smaller model{smaller}"


def _whole(space: str) -> int:
    """The GiB that a variable says. Raises DeclarationError."""
    try:
        gib = int(space)
    except ValueError:
        gib = 0
    if gib < 1:
        raise DeclarationError(f"{_SPACE_KEY}: '{space:.20}' is no whole number of GiB above 0; set it to 1")
    return gib


def _request(config: Configuration) -> float:
    """Bytes that the KV cache has to have for one request of the greatest length, in the rank where it takes the most.

    One block of the pool is never given to a request, which vLLM 0.32 counts.
    """
    rooms = (layout(config, stage) for stage in range(config.pipeline_parallel_size))
    return max((room.blocks(config.length, config.tokens) + 1) * room.block_bytes for room in rooms)


def _longest(config: Configuration, gib: int) -> int:
    """The greatest length that a KV cache of so many GiB in each rank holds, tokens."""
    low, high = 0, config.length
    while low < high:
        middle = (low + high + 1) // 2
        fits = _request(replace(config, max_model_len=middle)) <= gib * GIB
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
