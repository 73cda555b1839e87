"""Engines over several nodes: which there are, why they are placed so, and what the network between nodes costs.

A node's GPUs are joined by a fast link, nodes by a network that is much slower. So tensor parallelism, which adds up
twice a layer, stays within a node; between nodes go the states that one pipeline stage hands to the next, or the
tokens of layers of experts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.placement import tensor_sizes
from pytest_llmdbench.capacity.speed import Speed

#: How many nodes are tried where one is not enough.
NODES: Final = (2, 4)
#: Of one GPU into the network, bytes/s: what a node of A100 usually has, and half of what one of H100 has.
NETWORK: Final = 25e9
#: The share of it that transfers reach, and what each takes whatever its size, seconds.
REACHED: Final = 0.5
TRANSFER_S: Final = 20e-6
#: The same in words.
ASSUMED: Final = (
    f"assumed between nodes: {NETWORK / 1e9:g} GB/s a GPU, {REACHED:.0%} of it reached, {TRANSFER_S * 1e6:g} us a "
    "transfer, and that nothing else is done meanwhile"
)


def over_nodes(config: Configuration, nodes: int) -> Iterator[Configuration]:
    """Ways to spread one replica over ``nodes`` whole nodes of the engine's GPU."""
    node, experts = config.gpu.node, config.model.experts
    sizes = tensor_sizes(config, node)
    if sizes and nodes * node // sizes[-1] <= config.model.layers:
        yield replace(config, tensor_parallel_size=sizes[-1], pipeline_parallel_size=nodes * node // sizes[-1])
    spread = replace(config, enable_expert_parallel=True)
    for size in tensor_sizes(spread, node) if experts else ():
        copies = nodes * node // size
        if experts and experts.count >= nodes * node:
            yield replace(spread, tensor_parallel_size=size, data_parallel_size=copies)


def placed(config: Configuration) -> str:
    """Why an engine over several nodes is placed as it is, in one sentence."""
    size, copies = config.tensor_parallel_size, config.data_parallel_size
    if copies > 1:
        each = "each GPU has" if size == 1 else f"each {size} GPUs share"
        why = (
            f"{each} a copy of the attention with a KV cache of its own, and the experts are spread over all "
            f"{config.gpus} GPUs: between nodes go the tokens of each layer of experts"
        )
    else:
        why = (
            f"{size} GPUs of a node share each layer over their link, and {config.pipeline_parallel_size} stages hold "
            "the layers one after the other: between nodes goes one state a token and stage, not two sums a layer"
        )
    return f"{config.nodes} nodes, as one has not the room: {why}"


def network_s(config: Configuration, tokens: float) -> float:
    """What a step of ``tokens`` tokens, of each copy, waits for the network, seconds; 0 on one node."""
    nodes, model = config.nodes, config.model
    if nodes == 1:
        return 0.0
    size = tokens * model.hidden * config.bytes
    if config.data_parallel_size > 1:
        # NCCL's rings pass the other nodes' tokens on over all network cards of a node: to the experts, and back.
        copies = config.data_parallel_size / nodes
        once = size * copies * (nodes - 1) / config.gpu.node / (NETWORK * REACHED) + TRANSFER_S
        return 2 * model.expert_layers * once
    # What a layer adds to and what it has added are handed on apart.
    return (config.pipeline_parallel_size - 1) * (2 * size / (NETWORK * REACHED) + TRANSFER_S)


def slowed(found: Speed, config: Configuration, load: Load) -> Speed:
    """An estimate that knows of one node alone, with what the network adds to each step and each prompt.

    A first token is taken to wait for the prompt before its own as well.
    """
    if config.nodes == 1:
        return found
    running, steps = found.running / config.data_parallel_size, max(0.0, load.output_tokens - 1)
    step, prompt = network_s(config, running), network_s(config, load.computed)
    cycle = found.running / found.requests_per_second
    added = steps * step + running * prompt
    slower = cycle / (cycle + added)
    later = replace(
        found,
        ttft=found.ttft / slower if found.concurrency > found.running else found.ttft + 2 * prompt,
        tpot=found.tpot + (added / steps if steps else 0.0),
        e2e=found.e2e / slower,
    )
    if load.rate is not None:  # as many come, and are there for longer
        return replace(later, concurrency=found.concurrency / slower, running=found.running / slower)
    return replace(
        later,
        requests_per_second=found.requests_per_second * slower,
        output_tokens_per_second=found.output_tokens_per_second * slower,
        prompt_tokens_per_second=found.prompt_tokens_per_second * slower,
    )
