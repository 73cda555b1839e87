"""Prefill and decode on engines of their own: how fast so many of each serve a load.

Prompts wait for a prefill engine, where they come at a rate as at random, in a closed loop in the bunches in which
answers end. Their KV cache then crosses the network to a decode engine, whose steps no prompt disturbs. What flows
through both pools is the same; Little's law says how many requests are in each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from pytest_llmdbench.capacity.configuration import Configuration, Version
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.nodes import NETWORK, REACHED, TRANSFER_S, network_s
from pytest_llmdbench.capacity.queueing import Wait, queue
from pytest_llmdbench.capacity.roofline import Roofline
from pytest_llmdbench.capacity.speed import AHEAD, FRONT_S, TOKENIZE_S, TPOT_ERROR, TTFT_ERROR, Speed, growing, places

#: Ranges are so much wider than of engines that do both: one measured model alone was there to compare with.
WIDER: Final = 1.5
SOURCE: Final = "roofline, prefill and decode apart"
#: From one engine to the other beside the transfer: router, sidecar, a word to the sender. Chosen in view of four rows
#: with hardly any load of that model, which took 0.12 to 0.16 s.
HANDING_S: Final = 0.14
#: What is told with such a deployment: what it is, how sure the estimate is, and what it assumes.
TOLD: Final = (
    "P/D: some engines read the prompts (prefill), others write the answers (decode); at once: on each that decodes,",
    "with its share of the prompts that are being read",
    "P/D: compared with one measured model alone, so its ranges are half as wide again: what is less than a third",
    "cheaper than an engine that does both may not be",
    "P/D: assumed: the router keeps engines of one kind evenly busy, and once all of a prompt is read its KV cache is",
    f"sent at {NETWORK / 1e9:g} GB/s a GPU, {REACHED:.0%} of it reached",
)
#: Bytes/s into and out of a GPU.
_RATE: Final = NETWORK * REACHED
#: The releases that have the connector, and surely the one that gathers what more ranks have on fewer.
_CONNECTOR: Final[Version] = (0, 9)
_FEWER_RANKS: Final[Version] = (0, 14)


@dataclass(frozen=True)
class PrefillEngine:
    """An engine that reads prompts and hands them on. Raises DeclarationError where the load has no place on it."""

    config: Configuration
    load: Load

    @cached_property
    def copies(self) -> int:
        """Prompts that are computed at once: one on each data parallel copy."""
        return self.config.data_parallel_size

    @cached_property
    def prompt_s(self) -> float:
        """Computing one prompt that is alone, seconds."""
        load = self.load
        alone = Roofline(self.config).prefill_s(load.computed, load.prompt_tokens - load.computed)
        return alone + network_s(self.config, load.computed)

    @cached_property
    def work_s(self) -> float:
        """What a prompt takes of a copy that always has the next one: short ones share a step, and reading weights."""
        load = self.load
        bunch = max(1.0, self.config.tokens / load.computed)
        together = Roofline(self.config).prefill_s(bunch * load.computed, load.prompt_tokens - load.computed)
        return min(self.prompt_s, (together + network_s(self.config, bunch * load.computed)) / bunch)

    @cached_property
    def room(self) -> float:
        """Prompts that have a place on a copy, those that are on their way out included."""
        return places(self.config, self.load)


@dataclass(frozen=True)
class DecodeEngine:
    """An engine that writes answers to prompts which others read. Raises DeclarationError as the other."""

    config: Configuration
    load: Load
    _steps: dict[float, float] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def most(self) -> float:
        """Requests that have a place, on all copies, or fewer: as many as the network keeps supplied with prompts."""
        room = places(self.config, self.load) * self.config.data_parallel_size
        comes = self.config.data_parallel_size / (self.prompt_bytes / _RATE)
        return growing(comes, room, lambda running: running / (self.load.output_tokens * self.step_s(running)))

    @cached_property
    def _line(self) -> Roofline:
        return Roofline(self.config)

    @cached_property
    def prompt_bytes(self) -> float:
        """What each GPU of a copy is sent of one prompt."""
        return self.load.prompt_tokens * self._line.kv_token_bytes

    def step_s(self, running: float) -> float:
        """A step with so many requests on all copies, seconds."""
        found = self._steps.get(running)
        if found is None:
            each = max(1.0, running / self.config.data_parallel_size)
            found = self._line.decode_s(each, self.load.resident) + network_s(self.config, each)
            self._steps[running] = found
        return found


@dataclass(frozen=True)
class Split:
    """A kind of prefill engine with a kind of decode engine, on the same GPU and for the same load."""

    prefill: PrefillEngine
    decode: DecodeEngine

    @property
    def load(self) -> Load:
        """What they serve."""
        return self.decode.load

    @cached_property
    def transfer_s(self) -> float:
        """From the end of a prompt's computation until its KV cache is all there, seconds.

        Each GPU pulls its share; where the prefill engine has fewer GPUs, each of them sends several shares.
        """
        return self.decode.prompt_bytes * max(1.0, self._ratio) / _RATE + TRANSFER_S

    @cached_property
    def _ratio(self) -> float:
        return self.decode.config.tensor_parallel_size / self.prefill.config.tensor_parallel_size

    @cached_property
    def busy_s(self) -> float:
        """What a prompt takes of a prefill copy: computing, sending, or a place until it is sent, whichever is most."""
        first = self.prefill
        # Of latent attention, of which each rank has all, one rank sends.
        sends = max(1.0, self._ratio) if first.config.model.mla else self._ratio
        return max(
            first.work_s, self.decode.prompt_bytes * sends / _RATE, (first.prompt_s + self.transfer_s) / first.room
        )

    def carries(self, running: float) -> float:
        """Requests per second of one decode engine with so many requests on it."""
        return running / (self.transfer_s + self.load.output_tokens * self.decode.step_s(running))

    def prefills(self, rate: float, share: float) -> int:
        """Prefill engines for a rate, each busy at most for ``share`` (0..1) of the time."""
        return max(1, math.ceil(rate * self.busy_s / (share * self.prefill.copies)))

    def busy(self, prefills: int, rate: float) -> float:
        """The share of the time that prefill engines are busy."""
        return rate * self.busy_s / (prefills * self.prefill.copies)

    def wait(self, prefills: float, rate: float) -> Wait:
        """For a prefill engine that is free."""
        load = self.load
        return queue(rate, prefills * self.prefill.copies, self.busy_s, load.prompt.stddev / load.prompt_tokens)

    def running_at(self, rate: float) -> float:
        """Requests on one decode engine at its share of a rate."""
        return growing(rate, self.decode.most, self.carries)

    def running_of(self, concurrency: float, prefills: float, decodes: int) -> float:
        """Requests on each decode engine where so many are in flight on all of both pools."""

        def in_flight(running: float) -> float:
            return decodes * self.speed(prefills, decodes, running).concurrency

        return growing(concurrency, self.decode.most, in_flight)

    def _alone_s(self, running: float) -> float:
        """To the first token where no other prompt waits.

        Both engines turn it into tokens, and the decode engine takes half a step of the others, and then its own.
        """
        step = self.decode.step_s(running)
        each = max(1.0, running / self.decode.config.data_parallel_size)
        front = FRONT_S + HANDING_S + 2 * TOKENIZE_S * self.load.prompt_tokens
        return front + self.prefill.prompt_s + self.transfer_s + step * (1.5 - 0.5 / each)

    def _bunched_s(self, prefills: float, rate: float, e2e: float) -> float:
        """What prompts that come just before take, where requests follow each other: of all in flight a share.

        ``e2e`` is without it; that it keeps more in flight is solved for.
        """
        if self.load.rate is not None:
            return 0.0
        each = AHEAD * self.busy_s / (prefills * self.prefill.copies)
        return max(0.0, each * (rate * e2e - 1) / (1 - each * rate))

    def speed(self, prefills: float, decodes: int, running: float) -> Speed:
        """What one of ``decodes`` engines does with so many requests on it, its share of the prefill engines included.

        Without end (``prefills`` infinite) prompts do not wait.
        """
        load, each, step = self.load, self.carries(running), self.decode.step_s(running)
        wait = self.wait(prefills, decodes * each)
        first = self._alone_s(running) + wait.mean
        later = (load.output_tokens - 1) * step
        first += self._bunched_s(prefills, decodes * each, first + later)
        reading = prefills * self.prefill.config.gpus
        return Speed(
            ttft=first,
            tpot=step if later else 0.0,
            e2e=first + later,
            requests_per_second=each,
            output_tokens_per_second=each * load.output_tokens,
            prompt_tokens_per_second=each * load.prompt_tokens,
            concurrency=each * (first + later),
            running=running,
            prefill_share=1.0 if math.isinf(reading) else reading / (reading + decodes * self.decode.config.gpus),
            source=SOURCE,
            ttft_error=WIDER * TTFT_ERROR,
            tpot_error=WIDER * TPOT_ERROR,
            wait=wait,
        )


def hands_on(prefill: Configuration, decode: Configuration) -> bool:
    """Whether vLLM's NIXL connector hands a KV cache from one engine to the other.

    Not between pipeline stages, not for states of linear attention, not from copied KV heads to fewer ranks, and to
    fewer ranks at all only of late (https://docs.vllm.ai/en/stable/features/nixl_connector_compatibility/,
    https://github.com/vllm-project/vllm/pull/27274).
    """
    model = prefill.model
    if prefill.release < _CONNECTOR or model.linear:
        return False
    if prefill.pipeline_parallel_size > 1 or decode.pipeline_parallel_size > 1:
        return False
    fewer = decode.tensor_parallel_size < prefill.tensor_parallel_size
    if fewer and prefill.release < _FEWER_RANKS:
        return False
    return not fewer or model.mla is not None or prefill.tensor_parallel_size <= model.kv_heads
