"""How long a step takes on a GPU: the slower of reading the weights and computing, and what comes on top.

The shares of the peaks are what vLLM's own kernels reach where they were timed one by one (the kernel tables of
aiconfigurator-core 0.12.0, on H100, H200, B200 and B300). What launches, all-reduces and experts take was chosen in
view of measured rows, one value for all models and GPUs; nothing is fitted to a single row or model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.kv_cache import layout, states_bytes
from pytest_llmdbench.capacity.parameters import Parameters, parameters
from pytest_llmdbench.errors import DeclarationError

#: Shares of the peaks: of the memory's bandwidth, of the products' FLOP/s in 16 and in fewer bits, of attention's, of
#: the link. Kernels that were timed reach 0.6 to 0.85, 0.7 to 0.8, 0.4 to 0.6, 0.45 to 0.6 (8192 tokens), 0.3 to 0.5.
BANDWIDTH: Final = 0.75
PRODUCTS: Final = 0.7
PRODUCTS_SMALL: Final = 0.45
ATTENTION: Final = 0.5
LINK: Final = 0.4
#: Kernels that unpack small weights to multiply in 16 bits (Marlin and the like): the share they reach, and the FLOP/s
#: of a Hopper GPU, as they are no faster on later ones.
UNPACKING: Final = 0.4
UNPACKING_FLOPS: Final = 989e12
#: Launching the kernels of a layer, and with experts sorting the tokens to each of them, seconds.
LAYER_S: Final = 20e-6
EXPERT_LAYER_S: Final = 30e-6
EXPERT_S: Final = 0.1e-6
#: The latency of an all-reduce, and what each peer that is read from adds, seconds.
ALL_REDUCE_S: Final = 4e-6
PEER_S: Final = 2.5e-6
#: The many small products of experts take longer than one large product of the same work.
EXPERT_PREFILL: Final = 1.8


@dataclass(frozen=True)
class Roofline:
    """The times of one engine, in seconds, on one data parallel copy of it."""

    config: Configuration

    @cached_property
    def _count(self) -> Parameters:
        return parameters(self.config.model)

    @cached_property
    def _ranks(self) -> int:
        """GPUs that share one copy's layers: pipeline stages work one after the other for one token."""
        return self.config.tensor_parallel_size

    @cached_property
    def peak(self) -> float:
        """FLOP/s of products that the kernels reach on one GPU. Raises DeclarationError where it is not known."""
        gpu, how = self.config.gpu, self.config.model.quantization
        compute = how.compute
        if compute == "fp4" and gpu.fp4:
            return gpu.fp4 * PRODUCTS_SMALL
        if compute == "fp8" and gpu.fp8:
            return gpu.fp8 * PRODUCTS_SMALL
        if (how.expert_bits if self.config.model.experts else how.linear_bits) is not None:
            return min(self.plain_peak, UNPACKING_FLOPS) * UNPACKING
        return self.plain_peak * PRODUCTS

    @cached_property
    def plain_peak(self) -> float:
        """FLOP/s in 16 bits, at the peak."""
        found = self.config.gpu.bf16 or self.config.gpu.fp16
        if not found or not self.config.gpu.bandwidth:
            raise DeclarationError(f"GPU: the speed of {self.config.gpu.name} is not known")
        return found

    @cached_property
    def _fixed_s(self) -> float:
        """What a step takes whatever its size: launches, and the latency of two all-reduces a layer."""
        model = self.config.model
        launches = LAYER_S * (model.layers - model.expert_layers)
        if model.experts:
            launches += (EXPERT_LAYER_S + EXPERT_S * model.experts.count) * model.expert_layers
        ranks = self.config.tensor_parallel_size
        reduces = 2 * model.layers * (ALL_REDUCE_S + PEER_S * ranks) if ranks > 1 else 0.0
        return launches + reduces

    def weights_read(self, tokens: float) -> float:
        """Bytes of weights that one GPU reads for a step of ``tokens`` tokens: of the experts, those that are met.

        All of the layers and the head; of the embedding a few rows.

        Raises:
            DeclarationError: some are in the host's memory.
        """
        if self.config.cpu_offload_gb:
            raise DeclarationError("cpu_offload_gb: how fast weights come from the host's memory is not estimated")
        model, count, tp = self.config.model, self._count, self.config.tensor_parallel_size
        # Once there are more ranks than KV heads, each reads a whole one.
        attention = (count.attention - count.kv) / tp + count.kv / min(tp, model.kv_heads) + count.replicated
        plain = model.dense_layers * count.dense + model.expert_layers * count.shared
        how = model.quantization
        linear = model.layers * attention * self._size(how.mixer_bits) + plain / tp * self._size(how.linear_bits)
        head = count.head / tp * self._size(how.head_bits)
        rest = head + model.expert_layers * count.router * self.config.bytes
        if model.experts is None:
            return (linear + rest) * model.files_share
        # All copies' tokens meet at the experts.
        asked = max(1.0, tokens * self.config.data_parallel_size)
        met: float = 1 - (1 - model.experts.active / model.experts.count) ** asked
        experts = model.expert_layers * count.experts / self.config.expert_ranks
        return (linear + rest + experts * met * self._size(how.expert_bits)) * model.files_share

    def _size(self, bits: float | None) -> float:
        """Bytes of a weight."""
        return self.config.bytes if bits is None else bits / 8

    @cached_property
    def kv_token_bytes(self) -> float:
        """Bytes of KV cache of one token on one GPU, all pipeline stages, padding aside."""
        room = layout(self.config)
        stages = self.config.pipeline_parallel_size
        return stages * room.block_bytes * max(1, room.full) / room.full_tokens

    def decode_s(self, sequences: float, context: float) -> float:
        """A step that makes one token for each of ``sequences``, with ``context`` tokens each behind them."""
        config = self.config
        # A state is read and written anew.
        read = self.weights_read(sequences) + sequences * (context * self.kv_token_bytes + 2 * states_bytes(config))
        memory = read / (config.gpu.bandwidth * BANDWIDTH)
        return max(memory, self._products_s(sequences)) + self._fixed_s + self._reduce_s(sequences)

    def prefill_s(self, tokens: float, before: float = 0.0) -> float:
        """Computing ``tokens`` tokens of a prompt that has ``before`` tokens in the cache already."""
        gpu = self.config.gpu
        memory = self.weights_read(tokens) / gpu.bandwidth
        slower = EXPERT_PREFILL if self.config.model.experts else 1.0
        products = max(memory, self._products_s(tokens)) * slower
        return products + self._attention_s(tokens, before) + self._reduce_s(tokens)

    def _products_s(self, tokens: float) -> float:
        flops = 2 * self._count.active(self.config.model) * tokens
        return flops / (self._ranks * self.peak)

    def _attention_s(self, tokens: float, before: float) -> float:
        """Causal attention: on average half of the new tokens, and all that were there, are looked at."""
        model = self.config.model
        seen = before + tokens / 2
        size = model.mla.nope + model.mla.rope if model.mla else model.head_dim
        full = model.attention_layers - model.window_layers
        looked = full * seen + model.window_layers * min(seen, model.window)
        return 4 * tokens * looked * model.heads * size / (self._ranks * self.plain_peak * ATTENTION)

    def _reduce_s(self, tokens: float) -> float:
        """Two all-reduces a layer over the link, and for experts of data parallel copies their exchange."""
        model, ranks, copies = self.config.model, self.config.tensor_parallel_size, self.config.data_parallel_size
        size = tokens * model.hidden * self.config.bytes
        # The link's figure counts both directions.
        rate = self.config.gpu.link / 2 * LINK
        # A ring sends nearly the whole of it twice: once to add up, once to tell all.
        reduced = 2 * model.layers * 2 * size * (ranks - 1) / ranks
        # All copies' tokens are gathered on each, and what becomes of them is scattered back.
        exchanged = 2 * model.expert_layers * size * (copies - 1)
        return (reduced + exchanged) / rate
