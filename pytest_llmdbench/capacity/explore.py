"""Every GPU x parallelism x batch that can serve a model: what fits, meets the SLO, and is cheapest or fastest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.candidate import HEADROOM, Candidate, flags_of, judged
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.corrections import corrected
from pytest_llmdbench.capacity.cost import price_of_gpu
from pytest_llmdbench.capacity.expected import estimated
from pytest_llmdbench.capacity.gpus import Gpu, known_gpus
from pytest_llmdbench.capacity.nodes import NODES, slowed
from pytest_llmdbench.capacity.ranking import By, order_of
from pytest_llmdbench.capacity.speed import places
from pytest_llmdbench.capacity.split_search import splits
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.capacity.variants import that_starts, variants
from pytest_llmdbench.declared.prices import Price
from pytest_llmdbench.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Exploration:
    """The explored space: the best of each engine, in order; all that meet the SLO, and all that miss it."""

    asked: Asked
    best: Sequence[Candidate]
    meeting: Sequence[Candidate]
    missing: Sequence[Candidate]
    #: GPU, or engine on it -> why it is not there.
    refused: Mapping[str, str]
    #: Objectives that nobody can estimate.
    unknown: Sequence[str]

    @property
    def engines(self) -> int:
        """Engines that start, each with any number of requests at once."""
        return len({one.label for one in (*self.meeting, *self.missing) if not one.prefill})

    @property
    def splits(self) -> int:
        """Pairs of a prefill and a decode engine among the best."""
        return sum(one.prefill is not None for one in self.best)


def explore(asked: Asked, by: By = "cost") -> Exploration:
    """Try everything on the GPUs that are asked for, or on all.

    Raises:
        DeclarationError: the load is longer than the model's positions or the engine takes, or a price table cannot be
            read.
    """
    load = asked.load
    if load.longest > asked.model.max_positions:
        raise DeclarationError(
            f"a load of up to {load.longest:.0f} tokens is longer than the {asked.model.max_positions} positions that "
            f"{asked.model.name} knows"
        )
    found: list[list[Candidate]] = []
    order = order_of(by)
    refused: dict[str, str] = {}
    for gpu in asked.gpus or known_gpus():
        price = price_of_gpu(gpu.name, asked.prices, asked.price_per_hour)
        fitting, why = _fitting(asked, gpu)
        if not fitting:
            refused[gpu.name] = why
        told: dict[str, str] = {}
        for config in fitting:
            try:
                found.append(_candidates(asked, config, price))
            except DeclarationError as error:  # the estimator knows nothing of this engine
                told[", ".join([f"{config.gpus} x {gpu.name}", *flags_of(config)])] = str(error)
        refused |= {gpu.name: next(iter(told.values()))} if told and len(told) == len(fitting) else told
        found += splits(asked, fitting, price, order)
    meeting = [one for of_engine in found for one in of_engine if not one.missed]
    missing = [one for of_engine in found for one in of_engine if one.missed]
    firsts = (min((one for one in of_engine if not one.missed), key=order, default=None) for of_engine in found)
    best = sorted((one for one in firsts if one), key=order)
    unknown = [one.text for one in asked.objectives if not estimated(one)]
    return Exploration(asked, best, meeting, missing, refused, unknown)


def _fitting(asked: Asked, gpu: Gpu) -> tuple[list[Configuration], str]:
    """The engines that start on a GPU, on the fewest nodes that hold one; where there are none, why."""
    tried: list[Configuration] = []
    for nodes in (1, *(NODES if gpu.nvlink else ())):
        if nodes > 1 and asked.most_gpus is not None and asked.most_gpus < nodes * gpu.node:
            break
        here = list(variants(asked, gpu, nodes))
        if asked.corrections:
            here = [corrected(config, asked.corrections) for config in here]
        tried = here or tried
        if fitting := [one for one in map(that_starts, here) if one]:
            return fitting, ""
    if not tried:
        return [], "no parallelism of one node splits this model"
    # The one that comes nearest.
    most = max(tried, key=lambda config: config.gpus)
    return [], f"with {' '.join(flags_of(most)) or 'one GPU'}: {validate(most).why}"


def _candidates(asked: Asked, config: Configuration, price: Price | None) -> list[Candidate]:
    """The engine with 1, 2, 4, ... requests in flight, and the most that have a place or meet the SLO.

    Of a rate, one for each number of replicas that carry it.
    """
    load = asked.load
    try:
        room = int(places(config, load)) * config.data_parallel_size
    except DeclarationError:
        return []
    most = min(room, asked.concurrency) if asked.concurrency else room
    numbers = {1 << power for power in range(most.bit_length())} | {most}
    found = {number: _full(asked, config, number, price) for number in sorted(numbers) if number <= most}
    low = max((number for number, one in found.items() if not one.missed), default=0)
    high = min((number for number in found if number > low), default=low)
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        found[middle] = _full(asked, config, middle, price)
        low, high = (low, middle) if found[middle].missed else (middle, high)
    if not found[most].missed:
        # As many as have a place: vLLM's own batch is enough.
        found[most] = replace(found[most], config=config)
    return list(found.values()) if asked.rate is None else _at_rate(asked, asked.rate, found, price)


def _full(asked: Asked, config: Configuration, number: int, price: Price | None) -> Candidate:
    """Replicas with so many requests in flight, and where nothing but the batch bounds these, room in it for no more.

    What a rate or a concurrency bounds has vLLM's own batch: one that is just large enough lets every bunch of requests
    wait for a place, which takes seconds, where a larger one makes their tokens a little slower.
    """
    load = replace(asked.load, concurrency=number, rate=None)
    one = slowed(asked.estimate(config, load), config, load)
    replicas = math.ceil((asked.concurrency or number) / number)
    if asked.rate is None and asked.concurrency is None:
        config = replace(config, max_num_seqs=max(1, math.ceil(number / config.data_parallel_size)))
    return judged(asked, config, one, number, replicas, replicas * one.requests_per_second, price)


def _at_rate(asked: Asked, rate: float, full: Mapping[int, Candidate], price: Price | None) -> list[Candidate]:
    """As many replicas as carry the rate with something to spare, and how fast each is at its share of it.

    What a replica carries when full is with the most requests in flight that meet the SLO: as many come in bunches.
    """
    chosen: dict[int, Candidate] = {}
    for _, one in sorted(full.items()):
        replicas = max(1, math.ceil(rate / (HEADROOM * one.speed.requests_per_second)))
        if replicas not in chosen or not one.missed:
            chosen[replicas] = one
    made = []
    for replicas, one in chosen.items():
        found, number = one.speed, one.concurrency
        if not one.missed:
            load = replace(asked.load, concurrency=None, rate=rate / replicas)
            found = slowed(asked.estimate(one.config, load), one.config, load)
            number = max(1, round(found.concurrency))
        made.append(judged(asked, one.config, found, number, replicas, rate, price))
    return made
