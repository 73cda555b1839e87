"""Latency and throughput of an engine under a load, from the times of its steps; work is conserved.

A closed loop: each of B requests in flight is prefilled once a cycle, and while one is, the others wait. So a cycle is
B prefills and the steps of one answer. What the KV cache or the batch cannot hold waits for a whole cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.queueing import NO_WAIT, Wait
from pytest_llmdbench.capacity.roofline import Roofline
from pytest_llmdbench.errors import DeclarationError

#: How far an estimate may be wrong, shares: more than four of five engines that others timed are within.
TPOT_ERROR: Final = 0.20
TTFT_ERROR: Final = 0.45
#: From the client to the scheduler and back with a token: HTTP, the first event, seconds.
FRONT_S: Final = 0.03
#: Turning a prompt into tokens, seconds a token: the tokenizers of Hugging Face make some 250,000 a second.
TOKENIZE_S: Final = 4e-6
#: Requests of like lengths end, and the next ones begin, in bunches: the share of the others that come just before.
AHEAD: Final = 0.06
#: What requests in flight grow to is met to this share.
_NEAR: Final = 1e-4
#: A replica's speed with so many requests in flight.
Closed: TypeAlias = "Callable[[float], Speed]"


@dataclass(frozen=True, slots=True)
class Speed:
    """What a replica does under a load, at its mean: seconds, tokens/s and requests/s of the whole replica.

    ``concurrency`` are requests in flight, ``running`` those of them that have a place in the batch. ``source`` is what
    the estimate was made by, and the errors are shares by which it may be wrong.
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
    source: str = "roofline"
    ttft_error: float = TTFT_ERROR
    tpot_error: float = TPOT_ERROR
    #: What of the TTFT is a wait in a queue, where one is reckoned with.
    wait: Wait = NO_WAIT

    @property
    def ttft_range(self) -> tuple[float, float]:
        """From to, seconds."""
        return self.ttft * (1 - self.ttft_error), self.ttft * (1 + self.ttft_error)

    @property
    def tpot_range(self) -> tuple[float, float]:
        """From to, seconds."""
        return self.tpot * (1 - self.tpot_error), self.tpot * (1 + self.tpot_error)

    @property
    def throughput_range(self) -> tuple[float, float]:
        """Output tokens per second, from to: a cycle is nearly all TPOT."""
        tokens = self.output_tokens_per_second
        return tokens / (1 + self.tpot_error), tokens / (1 - self.tpot_error)


def speed(config: Configuration, load: Load) -> Speed:
    """The speed of one replica.

    Raises:
        DeclarationError: not one request has a place, or the replica cannot keep up with the rate (says what it can).
    """
    room, line = places(config, load), Roofline(config)
    return under(load, room * config.data_parallel_size, lambda in_flight: _closed(line, load, in_flight, room))


def under(load: Load, most: float, closed: Closed) -> Speed:
    """The speed under a concurrency or a rate, where ``most`` requests in flight have a place.

    Raises:
        DeclarationError: the replica cannot keep up with the rate.
    """
    if load.rate is None:
        return closed(float(load.concurrency or 1))
    return _at_rate(load, load.rate, most, closed)


def saturated(config: Configuration, load: Load) -> Speed:
    """The speed with as many requests in flight as have a place: more only wait."""
    room = places(config, load)
    return _closed(Roofline(config), load, room * config.data_parallel_size, room)


def places(config: Configuration, load: Load) -> float:
    """Requests of the load that have a place in one data parallel copy.

    Raises:
        DeclarationError: not even one has.
    """
    if load.longest > config.length:
        which = "the longest " if load.varies else ""
        raise DeclarationError(
            f"max_model_len: {config.length} tokens are fewer than {which}prompt and answer of the load, "
            f"{load.longest:.0f}"
        )
    found = memory(replace(config, max_model_len=max(1, int(load.resident))))
    if found.concurrency < 1:
        raise DeclarationError(f"{config.model.name} on {config.gpu.name}: no request of the load has a place")
    return min(float(config.sequences), found.concurrency)


def _closed(line: Roofline, load: Load, in_flight: float, room: float) -> Speed:
    copies = line.config.data_parallel_size
    each = max(1.0, in_flight / copies)
    running = min(each, room)
    steps = max(0.0, load.output_tokens - 1)
    step = line.decode_s(running, load.resident)
    before = load.prompt_tokens - load.computed
    prefill = line.prefill_s(load.computed, before)
    # A bunch shares steps, as far as these have room, and with them the reading of the weights.
    bunch = max(1.0, min(1 + AHEAD * (running - 1), line.config.tokens / load.computed))
    prompts = running * (line.prefill_s(bunch * load.computed, before) / bunch if bunch > 1 else prefill)
    front = FRONT_S + TOKENIZE_S * load.prompt_tokens
    cycle = front + prompts + steps * step
    # Half a step of the others until it begins, and then theirs is in the same step.
    beside = 1.5 * step * (1 - 1 / running) if steps else 0.0
    first = front + min(prefill * (1 + AHEAD * (running - 1)), prompts) + beside
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


def _at_rate(load: Load, rate: float, most: float, closed: Closed) -> Speed:
    """As many in flight as the rate keeps there, by Little's law."""
    highest = closed(most).requests_per_second
    if rate > highest:
        raise DeclarationError(
            f"rate: {rate:g} requests/s are more than one replica does, {highest:.2g}; it takes "
            f"{int(rate / highest) + 1} replicas"
        )
    number = growing(rate, most, lambda in_flight: _flow(in_flight, closed))
    found = closed(max(1.0, number))
    return replace(
        found,
        requests_per_second=rate,
        output_tokens_per_second=rate * load.output_tokens,
        prompt_tokens_per_second=rate * load.prompt_tokens,
        concurrency=number,
        running=number,
    )


def growing(wanted: float, most: float, grows: Callable[[float], float]) -> float:
    """The requests in flight, up to ``most``, with which what grows with them, from nothing, is as much as wanted."""
    low, below, high, above = 0.0, 0.0, most, grows(most)
    if above <= wanted:
        return most
    while high - low > _NEAR**2 * high:
        # On the straight line between both ends, but not next to one of them, as the line may be bent.
        middle = low + (high - low) * min(0.9, max(0.1, (wanted - below) / (above - below)))
        found = grows(middle)
        if abs(found - wanted) <= _NEAR * wanted:
            return middle
        if found < wanted:
            low, below = middle, found
        else:
            high, above = middle, found
    return high


def _flow(in_flight: float, closed: Closed) -> float:
    """Requests per second with so many in flight; fewer than one is one that is not always there."""
    return closed(max(1.0, in_flight)).requests_per_second * min(1.0, in_flight)
