"""Splits into prefill and decode engines of one GPU that meet the SLO, with the fewest of both that carry the load."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.candidate import HEADROOM, Candidate, Prefill, judged
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.expected import met
from pytest_llmdbench.capacity.speed import Speed, speed
from pytest_llmdbench.capacity.split import DecodeEngine, PrefillEngine, Split, hands_on
from pytest_llmdbench.capacity.variants import that_starts
from pytest_llmdbench.declared.prices import Price
from pytest_llmdbench.errors import DeclarationError

#: The largest batch that meets the SLO is found to this share.
_NEAR: Final = 0.05
#: Where nothing bounds the load: decode engines of one split at most, and what its last prefill engine may waste.
_MOST: Final = 8
_WASTE: Final = 1.1


def splits(
    asked: Asked, fitting: Sequence[Configuration], price: Price | None, order: Callable[[Candidate], tuple[float, ...]]
) -> Iterator[list[Candidate]]:
    """For each decode engine the prefill engine that suits it best, at each number of them that meets the SLO.

    ``fitting`` are the engines of one GPU that start, ``order`` sorts the best first. Only for GPUs that a fast link
    joins: of the network of others nothing is assumed. And only for the roofline, which knows steps apart.
    """
    if not asked.splits or asked.estimate is not speed:
        return
    if not all(config.gpu.nvlink and config.gpu.vendor in ("nvidia", "amd") for config in fitting):
        return
    load = replace(asked.load, concurrency=None if asked.rate else 1, rate=asked.rate)
    engines = [one for one in map(_connected, fitting) if one]
    prefills = [one for one in (PrefillEngine(config, load) for config in engines) if _has_room(one)]
    for config in engines:
        decode = DecodeEngine(config, load)
        if not _has_room(decode):
            continue
        batches = _batches(asked, decode)
        pairs = (Split(one, decode) for one in prefills if _alike(one.config, config) and hands_on(one.config, config))
        made = (_of(asked, pair, batches, price) for pair in pairs)
        best = min((one for one in made if one), key=lambda one: min(map(order, one)), default=None)
        if best:
            yield best


def _connected(config: Configuration) -> Configuration | None:
    """The engine with a KV connector, with which layers with a window keep all tokens; None where it starts no more."""
    config = replace(config, hybrid_kv=False)
    return that_starts(config) if config.model.window_layers else config


def _has_room(engine: PrefillEngine | DecodeEngine) -> bool:
    try:
        return (engine.room if isinstance(engine, PrefillEngine) else engine.most) >= 1
    except DeclarationError:
        return False


def _alike(one: Configuration, other: Configuration) -> bool:
    """Both sides compute with the same weights and keep the same types."""
    return (one.model, one.kv_type) == (other.model, other.kv_type)


def _batches(asked: Asked, decode: DecodeEngine) -> list[float]:
    """Requests on a decode engine: 1, 2, 4, ..., and the most that have a place and whose steps meet the SLO."""
    most = min(decode.most, asked.concurrency) if asked.concurrency else decode.most
    if not _fast_enough(asked, decode, 1.0):
        return []
    low, high = (most, most) if _fast_enough(asked, decode, most) else (1.0, most)
    while high - low > _NEAR * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _fast_enough(asked, decode, middle) else (low, middle)
    return [*(float(1 << power) for power in range(math.ceil(math.log2(low)))), low]


def _fast_enough(asked: Asked, decode: DecodeEngine, running: float) -> bool:
    """Whether so many requests would meet the SLO if their first tokens took no time."""
    answer = (asked.load.output_tokens - 1) * decode.step_s(running)
    step = decode.step_s(running) if answer else 0.0
    return _meets(asked, Speed(0.0, step, answer, 0.0, 0.0, 0.0, running, running, 0.0))


def _of(asked: Asked, pair: Split, batches: Sequence[float], price: Price | None) -> list[Candidate]:
    """One for each number of decode engines that meets the SLO; where nothing bounds the load, one for each batch."""
    bounded = asked.rate is not None or asked.concurrency is not None
    wanted = {(_decodes(asked, pair, batch), 0.0 if bounded else batch): batch for batch in batches}
    found = (_smallest(asked, pair, decodes, batch, price) for (decodes, _), batch in wanted.items())
    return [one for one in found if one]


def _decodes(asked: Asked, pair: Split, batch: float) -> int:
    """Decode engines for the load, each with ``batch`` requests when it is full."""
    full = pair.carries(batch)
    if asked.rate is not None:
        return max(1, math.ceil(asked.rate / (HEADROOM * full)))
    if asked.concurrency is not None:
        return max(1, math.ceil(asked.concurrency / pair.speed(math.inf, 1, batch).concurrency))
    need = full * pair.busy_s / (HEADROOM * pair.prefill.copies)
    reading, writing = pair.prefill.config.gpus, pair.decode.config.gpus
    gpus = {number: math.ceil(number * need) * reading / number + writing for number in range(1, _MOST + 1)}
    enough = _WASTE * (need * reading + writing)
    return next((number for number, each in gpus.items() if each <= enough), min(gpus, key=lambda one: gpus[one]))


def _smallest(asked: Asked, pair: Split, decodes: int, batch: float, price: Price | None) -> Candidate | None:
    """The fewest prefill engines that make it meet the SLO; None where none do."""
    running = batch if asked.rate is None else pair.running_at(asked.rate / decodes)
    if not _meets(asked, pair.speed(math.inf, decodes, running)):
        return None
    least = pair.prefills(asked.rate or decodes * pair.carries(running), HEADROOM)
    for prefills in range(least, 2 * least + 4):
        if asked.concurrency is not None:
            running = pair.running_of(asked.concurrency, prefills, decodes)
        found = pair.speed(prefills, decodes, running)
        if _meets(asked, found):
            return _candidate(asked, pair, prefills, decodes, found, price)
    return None


def _meets(asked: Asked, found: Speed) -> bool:
    return all(met(each, found, asked.load) for each in asked.objectives)


def _candidate(asked: Asked, pair: Split, prefills: int, decodes: int, found: Speed, price: Price | None) -> Candidate:
    config = pair.decode.config
    if asked.rate is None and asked.concurrency is None and found.running < pair.decode.most:
        config = replace(config, max_num_seqs=max(1, math.ceil(found.running / config.data_parallel_size)))
    served = decodes * found.requests_per_second
    if asked.rate is not None:  # which the requests in flight are found for, nearly
        served, each = asked.rate, asked.rate / decodes
        found = replace(
            found,
            requests_per_second=each,
            output_tokens_per_second=each * asked.load.output_tokens,
            prompt_tokens_per_second=each * asked.load.prompt_tokens,
        )
    busy, first = pair.busy(prefills, served), pair.prefill
    reading = Prefill(first.config, prefills, busy, first.prompt_s, pair.transfer_s)
    return judged(asked, config, found, max(1, round(found.concurrency)), decodes, served, price, reading)
