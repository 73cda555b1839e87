"""One deployment that was tried: how many engines, what each carries and how fast, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.cost import Cost, cost
from pytest_llmdbench.capacity.expected import met
from pytest_llmdbench.capacity.speed import Speed
from pytest_llmdbench.declared.prices import Price

#: The share of what a full replica carries that one is given of a rate: requests come in bunches, and a replica that is
#: just full lets them wait.
HEADROOM: Final = 0.85


@dataclass(frozen=True, slots=True)
class Prefill:
    """The engines beside those that decode which read the prompts."""

    config: Configuration
    replicas: int
    #: Share of the time (0..1) that each computes, or its prompts take on the network if that is longer.
    busy: float
    #: Computing one prompt, and then sending its KV cache to a decode engine, seconds.
    prompt_s: float
    transfer_s: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One engine with a number of requests in flight on each replica, its speed, and what of it serves the load.

    With ``prefill`` it is the decode engine, which is given prompts that others have read; ``speed`` is then that of
    one decode engine with its share of those.
    """

    config: Configuration
    concurrency: int
    speed: Speed
    replicas: int
    cost: Cost | None
    #: The objectives that it is not expected to meet.
    missed: Sequence[str]
    #: None where each engine reads prompts and writes answers.
    prefill: Prefill | None = None

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return _gpus(self.config, self.replicas, self.prefill)

    @property
    def engines(self) -> list[Configuration]:
        """The kinds of engines that it takes, those that read prompts first."""
        return [self.prefill.config, self.config] if self.prefill else [self.config]

    @property
    def per_gpu(self) -> float:
        """Output tokens per second of one GPU."""
        return self.replicas * self.speed.output_tokens_per_second / self.gpus

    @property
    def label(self) -> str:
        """One replica in a few words: ``2 x H100-SXM-80GB, tp2``; of a split, one engine of each kind."""
        if self.prefill:
            return f"P/D: {engine_words(self.prefill.config)} prefill, {engine_words(self.config)} decode"
        return engine_words(self.config)

    @property
    def deployment(self) -> str:
        """All of it in a few words: ``3 x (2 x H100-SXM-80GB, tp2)``."""
        own = f"{self.replicas} x ({engine_words(self.config)})"
        if self.prefill:
            return f"P/D: {self.prefill.replicas} x ({engine_words(self.prefill.config)}) prefill + {own} decode"
        return own


def judged(
    asked: Asked,
    config: Configuration,
    found: Speed,
    number: int,
    replicas: int,
    served: float,
    price: Price | None,
    prefill: Prefill | None = None,
) -> Candidate:
    """The candidate of an engine with ``number`` requests in flight, with its cost and the objectives it misses.

    ``served`` is what all of it serves, requests/s.
    """
    load = asked.load
    return Candidate(
        config=config,
        concurrency=number,
        speed=found,
        replicas=replicas,
        cost=cost(_gpus(config, replicas, prefill), load, found, price, served) if price else None,
        missed=[each.text for each in asked.objectives if not met(each, found, load)],
        prefill=prefill,
    )


def _gpus(config: Configuration, replicas: int, prefill: Prefill | None) -> int:
    return replicas * config.gpus + (prefill.replicas * prefill.config.gpus if prefill else 0)


def engine_words(config: Configuration) -> str:
    """``2 x H100-SXM-80GB, tp2``."""
    return ", ".join([f"{config.gpus} x {config.gpu.name}", *flags_of(config)])


def flags_of(config: Configuration) -> list[str]:
    """What an engine has that is not as usual, each in a word or two."""
    parts = [f"{config.nodes} nodes"] if config.nodes > 1 else []
    parts += [f"tp{config.tensor_parallel_size}"] if config.tensor_parallel_size > 1 else []
    parts += [f"pp{config.pipeline_parallel_size}"] if config.pipeline_parallel_size > 1 else []
    copies = [f"dp{config.data_parallel_size}"] if config.data_parallel_size > 1 else []
    parts += [" ".join([*copies, "ep"])] if config.enable_expert_parallel else copies
    parts += [config.model.quantization.name] if config.model.quantized_at_start else []
    parts += ["kv fp8"] if config.kv_cache_dtype == "fp8" else []
    parts += ["windows kept whole"] if config.model.window_layers and not config.hybrid_kv else []
    parts += [f"memory {config.utilization:.0%}"] if config.gpu_memory_utilization else []
    parts += [f"{config.tokens} tokens a step"] if config.max_num_batched_tokens else []
    return parts
