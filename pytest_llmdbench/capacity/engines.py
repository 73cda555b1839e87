"""The engines of a scenario, as far as they are known well enough for an estimate.

What nobody knows (the model, the GPU, an engine of another kind) is left out, and what runs on no GPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pytest_llmdbench.capacity.configuration import DEFAULT_VERSION, Configuration
from pytest_llmdbench.capacity.free_flags import read_free
from pytest_llmdbench.capacity.gpus import Gpu, find_gpu
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.products import Product
from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError

Role = Literal["pods", "decode", "prefill"]
#: With this variable vLLM takes more tokens than the model has positions.
_LONG: Final = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
#: Only images that are named for vLLM have its release for a tag.
_TAG: Final = re.compile(r"vllm[^/:]{0,80}:v?(\d{1,4}\.\d{1,4}(?:\.\d{1,4})?)[^/:]{0,80}$")


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine of one role of a scenario; ``config`` without what earlier starts showed.

    ``gpu_known`` says how its GPU is known where the scenario does not name it.
    """

    role: Role
    pods: Pods
    config: Configuration
    gpu_known: str = ""


def read_scenario(path: Path) -> Scenario:
    """The scenario that a file holds. Raises DeclarationError."""
    from pytest_llmdbench.declared.layers import Layers
    from pytest_llmdbench.declared.source import load_yaml
    from pytest_llmdbench.declared.strict import read_model

    layers = Layers()
    layers.add_source(load_yaml(path))
    return read_model(Scenario, layers)


def engines(scenario: Scenario, products: Mapping[Role, Product] | None = None) -> Iterator[Engine]:
    """The engines that are known, a role each; ``products`` are the GPUs of roles where the scenario names none."""
    for role in roles(scenario):
        pods = scenario.role(role)
        if not pods.replicas or pods.gpus == 0 or _LONG in pods.env:
            continue
        found = None if scenario.accelerator.product else (products or {}).get(role)
        try:
            gpu = gpu_of(on_gpu(scenario, found.name) if found else scenario)
            yield Engine(role, pods, _configuration(scenario, pods, gpu), found.source if found else "")
        except DeclarationError:
            continue


def is_changed(pods: Pods) -> bool:
    """Whether free arguments or a variable change what fits."""
    try:
        free = read_free(pods.vllm.extra_args)
    except DeclarationError:
        return True
    return _LONG in pods.env or bool(free.said or free.unread)


def name_of(role: Role) -> str:
    """What a role is called among the pods of a stack, and so are their logs: a standalone stack has its server."""
    return "server" if role == "pods" else role


def gpu_of(scenario: Scenario) -> Gpu:
    """The GPU of a scenario's engines. Raises DeclarationError: it deploys no vLLM on a GPU, or on one nobody knows."""
    if scenario.deploy not in ("standalone", "modelservice"):
        raise DeclarationError(f"deploy: {scenario.deploy} starts no vLLM on a GPU of a cluster: nothing to check")
    if scenario.engine.kind != "vllm":
        raise DeclarationError(f"engine.kind: {scenario.engine.kind} is not vLLM: nothing to check")
    if not scenario.accelerator.product:
        raise DeclarationError("the scenario does not name its GPU: give --gpu, or set accelerator.product in it")
    return find_gpu(scenario.accelerator.product)


def on_gpu(scenario: Scenario, gpu: str) -> Scenario:
    """The scenario on another GPU than it names."""
    accelerator = scenario.accelerator.model_copy(update={"product": gpu})
    return scenario.model_copy(update={"accelerator": accelerator})


def _configuration(scenario: Scenario, pods: Pods, gpu: Gpu) -> Configuration:
    """The engine of a role.

    Raises:
        DeclarationError: a model or a quantization that nobody knows, or a free argument that cannot be.
    """
    flags = pods.vllm
    free = read_free(flags.extra_args)
    said = dict(free.said)
    quantization = said.pop("quantization", flags.quantization)
    tag = _TAG.search(scenario.engine.image)
    config = Configuration(
        find_model(scenario.model.name, quantization),
        gpu,
        flags.tensor_parallel_size,
        flags.pipeline_parallel_size,
        flags.data_parallel_size,
        bool(flags.enable_expert_parallel),
        max_model_len=flags.max_model_len,
        max_num_seqs=flags.max_num_seqs,
        max_num_batched_tokens=flags.max_num_batched_tokens,
        gpu_memory_utilization=flags.gpu_memory_utilization,
        block_size=flags.block_size,
        dtype=flags.dtype or "auto",
        kv_cache_dtype=flags.kv_cache_dtype or "auto",
        enforce_eager=bool(flags.enforce_eager),
        enable_chunked_prefill=flags.enable_chunked_prefill is not False,
        hybrid_kv=flags.kv_transfer_config is None,
        enable_prefix_caching=bool(flags.enable_prefix_caching),
        version=tag[1] if tag else DEFAULT_VERSION,
        unread=free.unread,
    )
    return replace(config, **said)  # what is said last counts, and free arguments are


def roles(scenario: Scenario) -> Sequence[Role]:
    """The roles that have pods of their own."""
    return ("pods",) if scenario.deploy == "standalone" else ("decode", "prefill")
