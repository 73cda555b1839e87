"""The engines of a scenario, as far as they are known well enough for an estimate.

What nobody knows (the model, the GPU, an engine of another kind) is left out, and what runs on no GPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pytest_llmdbench.capacity.configuration import DEFAULT_VERSION, Configuration
from pytest_llmdbench.capacity.gpus import Gpu, find_gpu
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError

Role = Literal["pods", "decode", "prefill"]
#: Flags that change what fits, and that this plugin does not read from free arguments.
_FREE: Final = re.compile(
    r"--(?:cpu-offload-gb|kv-cache-memory|hf-overrides|num-gpu-blocks-override|enable-lora|speculative|rope-scaling)"
)
#: With this variable vLLM takes more tokens than the model has positions.
_LONG: Final = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"
#: Only images that are named for vLLM have its release for a tag.
_TAG: Final = re.compile(r"vllm[^/:]{0,80}:v?(\d{1,4}\.\d{1,4}(?:\.\d{1,4})?)[^/:]{0,80}$")


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine of one role of a scenario; ``config`` without what earlier starts showed."""

    role: Role
    pods: Pods
    config: Configuration


def read_scenario(path: Path) -> Scenario:
    """The scenario that a file holds. Raises DeclarationError."""
    from pytest_llmdbench.declared.layers import Layers
    from pytest_llmdbench.declared.source import load_yaml
    from pytest_llmdbench.declared.strict import read_model

    layers = Layers()
    layers.add_source(load_yaml(path))
    return read_model(Scenario, layers)


def engines(scenario: Scenario) -> Iterator[Engine]:
    """The engines that are known, a role each."""
    try:
        gpu = gpu_of(scenario)
    except DeclarationError:
        return
    for role in _roles(scenario):
        pods = scenario.role(role)
        free = any(_FREE.match(argument) for argument in pods.vllm.extra_args)
        if not pods.replicas or pods.gpus == 0 or _LONG in pods.env or free:
            continue
        try:
            yield Engine(role, pods, _configuration(scenario, pods, gpu))
        except DeclarationError:
            continue


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
    """The engine of a role. Raises DeclarationError for a model or a quantization that nobody knows."""
    flags = pods.vllm
    tag = _TAG.search(scenario.engine.image)
    return Configuration(
        find_model(scenario.model.name, flags.quantization),
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
        version=tag[1] if tag else DEFAULT_VERSION,
    )


def _roles(scenario: Scenario) -> Sequence[Role]:
    return ("pods",) if scenario.deploy == "standalone" else ("decode", "prefill")
