"""Every GPU x parallelism x batch that can serve a model: what fits, meets the SLO, and is cheapest or fastest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.configuration import DEFAULT_VERSION, Configuration
from pytest_llmdbench.capacity.corrections import corrected
from pytest_llmdbench.capacity.cost import Cost, cost, price_of_gpu
from pytest_llmdbench.capacity.gpus import Gpu, known_gpus
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.models import quantized
from pytest_llmdbench.capacity.nodes import NODES, over_nodes, slowed
from pytest_llmdbench.capacity.placement import tensor_sizes
from pytest_llmdbench.capacity.speed import Speed, places, speed
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.declared.prices import Price
from pytest_llmdbench.errors import DeclarationError

By = Literal["cost", "latency", "throughput"]
#: Metric of an objective -> how it is read from a speed, and the share by which the estimate may be wrong.
_ESTIMATED: Final[Mapping[str, Callable[[Speed], tuple[float, float]]]] = {
    "ttft": lambda found: (found.ttft, found.ttft_error),
    "tpot": lambda found: (found.tpot, found.tpot_error),
    "itl": lambda found: (found.tpot, found.tpot_error),
    "e2e": lambda found: (found.e2e, found.tpot_error),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for. ``load`` gives the lengths; ``rate`` (requests/s) or ``concurrency`` (requests in flight) is
    what the whole deployment has to carry: without either, whatever one replica carries best.

    ``small_types`` also tries FP8 weights and KV cache, which change answers a little.
    """

    model: Model
    load: Load
    objectives: Sequence[Objective] = ()
    gpus: Sequence[Gpu] = ()
    max_model_len: int | None = None
    small_types: bool = False
    version: str = DEFAULT_VERSION
    prices: str | None = None
    price_per_hour: float | None = None
    #: GPUs of one replica. None: those of one node, and of more nodes where one is not enough.
    most_gpus: int | None = None
    rate: float | None = None
    concurrency: int | None = None
    #: What earlier starts showed, where that counts.
    corrections: Path | None = None
    #: How the speed of an engine is estimated.
    estimate: Callable[[Configuration, Load], Speed] = speed

    @property
    def length(self) -> int:
        """The longest request: what is asked for, or a fifth more than the load's mean, in steps of 256."""
        return self.max_model_len or min(self.model.max_positions, math.ceil(self.load.length * 1.2 / 256) * 256)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One engine with a number of requests in flight, its speed, and what of it serves the load."""

    config: Configuration
    concurrency: int
    speed: Speed
    replicas: int
    cost: Cost | None
    #: The objectives that it is not expected to meet.
    missed: Sequence[str]

    @property
    def gpus(self) -> int:
        """GPUs of all replicas."""
        return self.replicas * self.config.gpus

    @property
    def per_gpu(self) -> float:
        """Output tokens per second of one GPU."""
        return self.speed.output_tokens_per_second / self.config.gpus

    @property
    def label(self) -> str:
        """One replica in a few words."""
        return label(self.config)


@dataclass(frozen=True, slots=True)
class Exploration:
    """The explored space: the best of each engine, in order; all points that meet the SLO, and those that do not."""

    asked: Asked
    best: Sequence[Candidate]
    meeting: Sequence[Candidate]
    missing: Sequence[Candidate]
    #: GPU, or engine on it -> why it is not there.
    refused: Mapping[str, str]
    #: Objectives that nobody can estimate.
    unknown: Sequence[str]


def explore(asked: Asked, by: By = "cost") -> Exploration:
    """Try everything on the GPUs that are asked for, or on all.

    Raises:
        DeclarationError: the load is longer than the model's positions, or a price table cannot be read.
    """
    if asked.load.length > asked.model.max_positions:
        raise DeclarationError(
            f"a load of {asked.load.length:.0f} tokens is longer than the {asked.model.max_positions} positions that "
            f"{asked.model.name} knows"
        )
    found: list[list[Candidate]] = []
    refused: dict[str, str] = {}
    for gpu in asked.gpus or known_gpus():
        price = price_of_gpu(gpu.name, asked.prices, asked.price_per_hour)
        engines: list[Configuration] = []
        fitting: list[Configuration] = []
        for nodes in (1, *(NODES if gpu.nvlink else ())):
            if fitting or (nodes > 1 and asked.most_gpus is not None and asked.most_gpus < nodes * gpu.node):
                break
            engines = list(_engines(asked, gpu, nodes)) or engines
            if asked.corrections:
                engines = [corrected(config, asked.corrections) for config in engines]
            fitting = [config for config in engines if validate(config).verdict == "will start"]
        if not fitting:
            refused[gpu.name] = validate(engines[-1]).why if engines else "no parallelism of one node splits this model"
        told: dict[str, str] = {}
        for config in fitting:
            try:
                found.append(_points(asked, config, price))
            except DeclarationError as error:  # the estimator knows nothing of this engine
                told[label(config)] = str(error)
        refused |= {gpu.name: told[label(fitting[0])]} if told and len(told) == len(fitting) else told
    meeting = [point for points in found for point in points if not point.missed]
    missing = [point for points in found for point in points if point.missed]
    order = _order(by)
    firsts = (min((point for point in points if not point.missed), key=order, default=None) for points in found)
    best = sorted((one for one in firsts if one), key=order)
    unknown = [one.text for one in asked.objectives if one.metric not in _ESTIMATED or one.parts]
    return Exploration(asked, best, meeting, missing, refused, unknown)


def label(config: Configuration) -> str:
    """``2 x H100-SXM-80GB, tp2``: one replica in a few words."""
    parts = [f"{config.nodes} nodes"] if config.nodes > 1 else []
    parts += [f"tp{config.tensor_parallel_size}"] if config.tensor_parallel_size > 1 else []
    parts += [f"pp{config.pipeline_parallel_size}"] if config.pipeline_parallel_size > 1 else []
    parts += [f"dp{config.data_parallel_size} ep"] if config.data_parallel_size > 1 else []
    parts += [config.model.quantization.name] if config.model.quantized_at_start else []
    parts += ["kv fp8"] if config.kv_cache_dtype == "fp8" else []
    return ", ".join([f"{config.gpus} x {config.gpu.name}", *parts])


def pareto(points: Sequence[Candidate], cheap: Callable[[Candidate], float]) -> list[Candidate]:
    """Those that no other beats in both TPOT and ``cheap`` (smaller is better), from the fastest on."""
    front: list[Candidate] = []
    for one in sorted(points, key=lambda point: (point.speed.tpot, cheap(point))):
        if not front or cheap(one) < cheap(front[-1]):
            front.append(one)
    return front


def by_cost(one: Candidate) -> float:
    """Cost of a million output tokens; what has no price comes last."""
    return one.cost.per_million if one.cost else math.inf


def _order(by: By) -> Callable[[Candidate], tuple[float, ...]]:
    orders: dict[By, Callable[[Candidate], tuple[float, ...]]] = {
        "cost": lambda one: (by_cost(one), one.gpus, one.speed.e2e),
        "latency": lambda one: (one.speed.e2e, by_cost(one)),
        "throughput": lambda one: (-one.per_gpu, by_cost(one)),
    }
    return orders[by]


def _engines(asked: Asked, gpu: Gpu, nodes: int) -> Iterator[Configuration]:
    model, most = asked.model, min(asked.most_gpus or gpu.node, gpu.node)
    half = gpu.vendor == "nvidia" and gpu.capability < 8 and model.dtype == "bfloat16"
    base = Configuration(
        model, gpu, max_model_len=asked.length, version=asked.version, dtype="half" if half else "auto"
    )
    models = [model]
    if asked.small_types and gpu.fp8 and model.quantization.name == "none":
        models.append(quantized(model, "fp8"))
    kv_types = ["auto", "fp8"] if asked.small_types and gpu.fp8 and not base.fp8_cache else ["auto"]
    for one in models:
        for kv in kv_types:
            config = replace(base, model=one, kv_cache_dtype=kv)
            if nodes > 1:
                yield from over_nodes(config, nodes)
                continue
            for size in tensor_sizes(config, most):
                yield replace(config, tensor_parallel_size=size)
            # Experts spread over all GPUs, attention copied: for latent attention, whose cache cannot be split.
            if one.experts and one.mla and most > 1:
                yield replace(config, data_parallel_size=most, enable_expert_parallel=True)


def _points(asked: Asked, config: Configuration, price: Price | None) -> list[Candidate]:
    """The engine with 1, 2, 4, ... requests in flight, and the most that have a place or meet the SLO."""
    load = asked.load
    try:
        room = int(places(config, load)) * config.data_parallel_size
    except DeclarationError:
        return []
    most = min(room, asked.concurrency) if asked.concurrency else room
    numbers = {1 << power for power in range(most.bit_length())} | {most}
    found = {number: _point(asked, config, number, price) for number in sorted(numbers) if number <= most}
    low = max((number for number, one in found.items() if not one.missed), default=0)
    high = min((number for number in found if number > low), default=low)
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        found[middle] = _point(asked, config, middle, price)
        low, high = (low, middle) if found[middle].missed else (middle, high)
    return list(found.values())


def _point(asked: Asked, config: Configuration, number: int, price: Price | None) -> Candidate:
    load = asked.load
    one = slowed(asked.estimate(config, replace(load, concurrency=number, rate=None)), config, load)
    if asked.rate is not None:
        replicas = max(1, math.ceil(asked.rate / one.requests_per_second))
        served = asked.rate
    else:
        replicas = math.ceil((asked.concurrency or number) / number)
        served = replicas * one.requests_per_second
    return Candidate(
        # Nothing may come between the requests that are counted on: vLLM makes the others wait.
        config=replace(config, max_num_seqs=max(1, math.ceil(number / config.data_parallel_size))),
        concurrency=number,
        speed=one,
        replicas=replicas,
        cost=cost(config, load, one, replicas, price, served) if price else None,
        missed=[each.text for each in asked.objectives if not _met(each, one)],
    )


def _met(objective: Objective, found: Speed) -> bool:
    """Estimates are means; of a percentile above the median the far end of the range has to hold."""
    if objective.metric not in _ESTIMATED or objective.parts:
        return True
    value, error = _ESTIMATED[objective.metric](found)
    high = objective.percentile is not None and objective.percentile > 50
    return objective.bound.met_by(value * (1 + error if high else 1))
