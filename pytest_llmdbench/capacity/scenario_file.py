"""A candidate as a scenario file, ready for ``--scenario``: on a cluster, or rehearsed on the simulator."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.candidate import HEADROOM, Candidate, Prefill
from pytest_llmdbench.capacity.configuration import DEFAULT_VERSION, Configuration
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.nodes import ASSUMED, placed
from pytest_llmdbench.capacity.simulated import SIZES, TIMES, simulator_like
from pytest_llmdbench.capacity.split import TOLD
from pytest_llmdbench.capacity.weights import weights_bytes
from pytest_llmdbench.errors import DeclarationError, counted

#: The processor's memory of a pod beside the weights, which pass through it.
_BESIDE_GIB: Final = 16


def scenario_of(found: Candidate, asked: Asked) -> str:
    """The YAML of a scenario that deploys a candidate.

    Raises:
        DeclarationError: the model is a path on this machine, which a pod does not have, vLLM has no image, or its
            pipeline stages are on several nodes.
    """
    config = found.config
    if config.gpu.vendor not in ("nvidia", "amd"):
        raise DeclarationError(f"{config.gpu.name}: vLLM publishes no image for it; leave it out with --gpu")
    if config.model.name.startswith(("/", ".", "~")) or Path(config.model.name).exists():
        raise DeclarationError(f"{config.model.name} is a path on this machine; a scenario needs the model's name")
    if config.nodes > 1 and config.pipeline_parallel_size > 1:
        raise DeclarationError(
            f"{found.label}: a scenario can say data parallel copies over several nodes (pods.workers) and not "
            "pipeline stages; --gpu with a GPU of more memory, or --fp8, may do with one node"
        )
    alone = config.nodes == 1 and not found.prefill
    data: dict[str, Any] = {
        "description": f"{config.model.name}, {found.deployment}.",
        "deploy": "standalone" if alone else "modelservice",
        "model": {"name": config.model.name},
        "accelerator": _accelerator(config),
    }
    if config.gpu.vendor == "amd":
        data["engine"] = {"image": f"docker.io/vllm/vllm-openai-rocm:v{config.version}"}
    elif config.version != DEFAULT_VERSION:
        data["engine"] = {"image": f"docker.io/vllm/vllm-openai:v{config.version}"}
    if found.prefill:
        data |= _roles(config, found.replicas, found.prefill)
    else:
        data |= {"vllm": _flags(config), "pods": _pods(config, found.replicas)}
    data["slo"] = [objective.text for objective in asked.objectives]
    if config.nodes > 1:
        data["timeouts"] = {"standup_s": 7200}
    return _text(_expected(found, asked), data)


def rehearsal_of(config: Configuration, objectives: Sequence[str] = ()) -> str:
    """The YAML of a scenario that runs on this machine, at the speed that the engine would have."""
    settings = {key: value for key, value in asdict(simulator_like(config)).items() if key in (*TIMES, *SIZES)}
    data = {
        "description": f"The simulator at the estimated speed of {config.model.name} on {config.gpu.name}.",
        "deploy": "local",
        "model": {"name": config.model.name},
        "simulator": settings,
        "slo": list(objectives),
    }
    return _text(["Estimated, not measured: good for rehearsing a sweep, not for judging a GPU."], data)


def _pods(config: Configuration, replicas: int) -> dict[str, Any]:
    """So many replicas, each pod with the memory to read its weights through."""
    weights = sum(weights_bytes(config, rank) for rank in range(config.pipeline_parallel_size)) / 2**30
    copies = config.data_parallel_size // config.nodes
    memory_gib = math.ceil(weights * config.tensor_parallel_size * copies + _BESIDE_GIB)
    return {"replicas": replicas, **_spread(config), "memory": f"{memory_gib}Gi"}


def _roles(config: Configuration, replicas: int, prefill: Prefill) -> dict[str, Any]:
    """Both kinds of engines, with the connector and the router of the well-lit path that separates them."""
    from pytest_llmdbench.declared.places import shipped_root
    from pytest_llmdbench.declared.source import load_yaml

    path = load_yaml(shipped_root() / "scenarios" / "pd-disaggregation.yaml").data
    reading, writing = _flags(prefill.config), _flags(config)
    both = {key: value for key, value in writing.items() if reading.get(key) == value}
    return {
        "vllm": {**both, "kv_transfer_config": path["vllm"]["kv_transfer_config"]},
        "prefill": {**_pods(prefill.config, prefill.replicas), "vllm": _beside(reading, both)},
        "decode": {**_pods(config, replicas), "vllm": _beside(writing, both)},
        "router": path["router"],
    }


def _beside(flags: Mapping[str, Any], both: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flags.items() if key not in both}


def _spread(config: Configuration) -> dict[str, Any]:
    """What pods of several nodes need beside: each of their GPUs its processors, and the time to read so much."""
    if config.nodes == 1:
        return {}
    return {"workers": config.nodes, "cpu": 4 * config.gpus // config.nodes, "shm": "32Gi", "startup_s": 5400}


def _accelerator(config: Configuration) -> dict[str, Any]:
    made: dict[str, Any] = {"product": config.gpu.product}
    if config.gpu.vendor == "amd":
        made |= {"resource": "amd.com/gpu", "label": "amd.com/gpu.product-name"}
    return made


def _flags(config: Configuration) -> dict[str, Any]:
    said: dict[str, Any] = {
        "tensor_parallel_size": config.tensor_parallel_size,
        "pipeline_parallel_size": config.pipeline_parallel_size,
        "data_parallel_size": config.data_parallel_size,
        "enable_expert_parallel": config.enable_expert_parallel or None,
        "max_model_len": config.length,
        "max_num_seqs": config.max_num_seqs,
        "max_num_batched_tokens": config.max_num_batched_tokens,
        "gpu_memory_utilization": config.utilization,
        "dtype": config.dtype,
        "quantization": config.model.quantization.name if config.model.quantized_at_start else None,
        "kv_cache_dtype": config.kv_cache_dtype,
    }
    usual = {"tensor_parallel_size": 1, "pipeline_parallel_size": 1, "data_parallel_size": 1}
    return {key: value for key, value in said.items() if value not in (None, "auto", usual.get(key))}


def _expected(found: Candidate, asked: Asked) -> list[str]:
    """What is expected of it, for the comment at the top."""
    one, room = found.speed, memory(found.config)
    low, high = one.tpot_range
    what = "decode engine" if found.prefill else "replica"
    lines = [
        f"Estimated for prompts of {asked.load.prompt_tokens:g} and answers of {asked.load.output_tokens:g} tokens, "
        f"{found.concurrency} at once on a {what}:",
        f"TTFT {one.ttft * 1e3:.0f} ms, TPOT {one.tpot * 1e3:.1f} ms ({low * 1e3:.1f} to {high * 1e3:.1f}), "
        f"{one.output_tokens_per_second:.0f} output tokens/s and {one.requests_per_second:.2f} requests/s a {what},",
        f"KV cache {room.kv:.1f} GiB: {room.tokens} tokens.",
    ]
    if asked.rate is not None:
        lines.append(
            f"{counted(found.replicas, what)} for {asked.rate:g} requests/s: each is given at most {HEADROOM:.0%} "
            "of what it carries when full."
        )
    if found.prefill:
        first = found.prefill
        lines += [
            f"{counted(first.replicas, 'prefill engine')}, each busy for {first.busy:.0%} of the time: a prompt takes "
            f"{first.prompt_s * 1e3:.0f} ms, its KV cache {first.transfer_s * 1e3:.0f} ms to a decode engine.",
            *TOLD,
        ]
    if found.config.nodes > 1:
        lines += [f"{placed(found.config)};", f"{ASSUMED}."]
    if found.prefill or found.config.nodes > 1:
        lines += [
            "Say under pods what the cluster calls its fast network, as in resources: {rdma/ib: 1} with capabilities:",
            "[IPC_LOCK]; without it all goes over TCP, which is slower by far.",
        ]
    if found.cost:
        price = found.cost.price
        shown = f"{found.cost.whole_per_million_output:.3g} {price.currency or ''}".strip()
        lines.append(
            f"A million output tokens cost {shown}, prompts included, at {price.per_hour:g} a GPU-hour "
            f"({price.source})."
        )
    return lines


def _text(comments: Sequence[str], data: Mapping[str, Any]) -> str:
    import yaml

    kept = {key: value for key, value in data.items() if value not in ([], {})}
    head = "".join(f"# {' '.join(line.split())}\n" for line in comments)
    return head + yaml.safe_dump(kept, sort_keys=False, width=110, allow_unicode=True)
