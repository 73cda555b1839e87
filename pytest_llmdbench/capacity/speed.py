"""Latency and throughput of an engine under a load, from the times of its steps; work is conserved.

A closed loop: each of B requests in flight is prefilled once a cycle, and while one is, the others wait. So a cycle is
B prefills and the steps of one answer. What the KV cache or the batch cannot hold waits for a whole cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.roofline import Roofline
from pytest_llmdbench.errors import DeclarationError

#: Mean errors against the measured rows, shares: what the ranges are made of. ``make bench`` prints them.
TPOT_ERROR: Final = 0.20
TTFT_ERROR: Final = 0.50
#: From the client to the scheduler and back with a token: HTTP, the tokenizer, the first event, seconds.
FRONT_S: Final = 0.03
#: Requests of like lengths end, and the next ones begin, in bunches: the share of the others that come just before.
AHEAD: Final = 0.06


@dataclass(frozen=True, slots=True)
class Speed:
    """What a replica does under a load, at its mean: seconds, tokens/s and requests/s of the whole replica.

    ``concurrency`` are requests in flight, ``running`` those of them that have a place in the batch.
    """

    ttft: float
    tpot: float
    #: From the request to its last token.
    e2e: float
    requests_per_second: float
    output_tokens_per_second: float
    prompt_tokens_per_second: float
    concurrency: float
    running: float
    #: Share of the time (0..1) that prompts take; answers take the rest.
    prefill_share: float

    @property
    def ttft_range(self) -> tuple[float, float]:
        """From to, seconds."""
        return self.ttft * (1 - TTFT_ERROR), self.ttft * (1 + TTFT_ERROR)

    @property
    def tpot_range(self) -> tuple[float, float]:
        """From to, seconds."""
        return self.tpot * (1 - TPOT_ERROR), self.tpot * (1 + TPOT_ERROR)

    @property
    def throughput_range(self) -> tuple[float, float]:
        """Output tokens per second, from to: a cycle is nearly all TPOT."""
        return self.output_tokens_per_second / (1 + TPOT_ERROR), self.output_tokens_per_second / (1 - TPOT_ERROR)


def speed(config: Configuration, load: Load) -> Speed:
    """The speed of one replica.

    Raises:
        DeclarationError: not one request has a place, or the replica cannot keep up with the rate (says what it can).
    """
    room = places(config, load)
    if load.rate is not None:
        return _at_rate(config, load, room)
    return _closed(Roofline(config), load, float(load.concurrency or 1), room)


def saturated(config: Configuration, load: Load) -> Speed:
    """The speed with as many requests in flight as have a place: more only wait."""
    room = places(config, load)
    return _closed(Roofline(config), load, room * config.data_parallel_size, room)


def places(config: Configuration, load: Load) -> float:
    """Requests of the load that have a place in one data parallel copy.

    Raises:
        DeclarationError: not even one has.
    """
    if load.length > config.length:
        raise DeclarationError(
            f"max_model_len: {config.length} tokens are fewer than prompt and answer of the load, {load.length:.0f}"
        )
    # Answers grow: on average half of them is there.
    mean = max(1, int(load.prompt_tokens + load.output_tokens / 2))
    found = memory(replace(config, max_model_len=mean))
    if found.concurrency < 1:
        raise DeclarationError(f"{config.model.name} on {config.gpu.name}: no request of the load has a place")
    return min(float(config.sequences), found.concurrency)


def _closed(line: Roofline, load: Load, in_flight: float, room: float) -> Speed:
    copies = line.config.data_parallel_size
    each = max(1.0, in_flight / copies)
    running = min(each, room)
    steps = max(0.0, load.output_tokens - 1)
    step = line.decode_s(running, load.prompt_tokens + load.output_tokens / 2)
    before = load.prompt_tokens - load.computed
    prefill = line.prefill_s(load.computed, before)
    # A bunch shares steps, as far as these have room, and with them the reading of the weights.
    bunch = max(1.0, min(1 + AHEAD * (running - 1), line.config.tokens / load.computed))
    prompts = running * (line.prefill_s(bunch * load.computed, before) / bunch if bunch > 1 else prefill)
    cycle = FRONT_S + prompts + steps * step
    first = FRONT_S + min(prefill * (1 + AHEAD * (running - 1)), prompts) + (step / 2 if steps else 0.0)
    # Whoever has no place waits until one of the running is done.
    waits = max(0.0, each - running) * cycle / running
    per_second = copies * running / cycle
    return Speed(
        ttft=waits + first,
        tpot=(cycle - first) / steps if steps else 0.0,
        e2e=waits + cycle,
        requests_per_second=per_second,
        output_tokens_per_second=per_second * load.output_tokens,
        prompt_tokens_per_second=per_second * load.prompt_tokens,
        concurrency=in_flight,
        running=running * copies,
        prefill_share=prompts / cycle,
    )


def _at_rate(config: Configuration, load: Load, room: float) -> Speed:
    """As many in flight as the rate keeps there, by Little's law."""
    line, rate = Roofline(config), load.rate or 0.0
    most = _closed(line, load, room * config.data_parallel_size, room)
    if rate > most.requests_per_second:
        raise DeclarationError(
            f"rate: {rate:g} requests/s are more than one replica does, {most.requests_per_second:.2g}; it takes "
            f"{int(rate / most.requests_per_second) + 1} replicas"
        )
    low, high = 1e-6, room * config.data_parallel_size
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _flow(line, load, middle, room) < rate else (low, middle)
    found = _closed(line, load, max(1.0, high), room)
    return replace(
        found,
        requests_per_second=rate,
        output_tokens_per_second=rate * load.output_tokens,
        prompt_tokens_per_second=rate * load.prompt_tokens,
        concurrency=high,
        running=high,
    )


def _flow(line: Roofline, load: Load, in_flight: float, room: float) -> float:
    """Requests per second with so many in flight; fewer than one is one that is not always there."""
    return _closed(line, load, max(1.0, in_flight), room).requests_per_second * min(1.0, in_flight)
