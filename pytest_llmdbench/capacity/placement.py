"""Rules on flags that vLLM refuses to start against, each with its reason and the nearest value that holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.errors import DeclarationError

_BLOCKS = (1, 8, 16, 32, 64, 128, 256)
#: No deployment has more; larger numbers are typing errors.
_MOST_GPUS = 10_000
#: Nor has any host so much memory, GiB.
_MOST_OFFLOADED = 100_000


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that does not hold: the flag, why, and the value that mends it (None: there is none)."""

    flag: str
    why: str
    value: str | None = None


def check_sizes(config: Configuration) -> None:
    """Refuse what nobody can mean. Raises DeclarationError that names the flag and what it may be."""
    limits = (
        ("tensor_parallel_size", config.tensor_parallel_size, 1, _MOST_GPUS),
        ("pipeline_parallel_size", config.pipeline_parallel_size, 1, _MOST_GPUS),
        ("data_parallel_size", config.data_parallel_size, 1, _MOST_GPUS),
        ("max_model_len", config.max_model_len, 1, 100_000_000),
        ("max_num_seqs", config.max_num_seqs, 1, 1_000_000),
        ("max_num_batched_tokens", config.max_num_batched_tokens, 1, 100_000_000),
        ("block_size", config.block_size, 1, 4096),
    )
    for flag, value, least, most in limits:
        if value is not None and not least <= value <= most:
            raise DeclarationError(f"{flag}: {value} is not possible; it is a whole number from {least} to {most}")
    given = config.gpu_memory_utilization
    if given is not None and not 0 < given <= 1:
        raise DeclarationError(f"gpu_memory_utilization: {given} is not possible; it is a share above 0 and up to 1")
    if not 0 <= config.cpu_offload_gb < _MOST_OFFLOADED:
        raise DeclarationError(
            f"cpu_offload_gb: {config.cpu_offload_gb} is not possible; it is a number of GiB, 0 or more"
        )
    if config.memory_gib is not None and not 0 < config.memory_gib < 10_000:
        raise DeclarationError(f"memory of the GPU: {config.memory_gib} GiB is not possible")


def broken_rules(config: Configuration) -> list[Broken]:
    """All rules that the flags break, on a GPU of this kind."""
    return [*_parallel(config), *_lengths(config), *_types(config)]


def tensor_sizes(config: Configuration, most: int = 64) -> list[int]:
    """Tensor parallel sizes, powers of two up to ``most``, that the model can be split by."""
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
    return [size for size in sizes if next(_uneven(config, size), None) is None]


def _parallel(config: Configuration) -> Iterator[Broken]:
    model, tp = config.model, config.tensor_parallel_size
    reason = next(_uneven(config, tp), None)
    if reason is not None:
        fits = next((size for size in range(tp - 1, 0, -1) if next(_uneven(config, size), None) is None), None)
        yield Broken("--tensor-parallel-size", reason, str(fits) if fits else None)
    if config.pipeline_parallel_size > model.layers:
        why = f"{model.layers} layers make at most {model.layers} pipeline stages"
        yield Broken("--pipeline-parallel-size", why, str(model.layers))
    if config.enable_expert_parallel and model.experts is None:
        yield Broken("--enable-expert-parallel", f"{model.name} has no experts to spread", "off")
    if config.enable_expert_parallel and model.experts and config.expert_ranks > model.experts.count:
        why = f"{model.experts.count} experts are too few for {config.expert_ranks} ranks"
        yield Broken("--data-parallel-size", why, str(max(1, model.experts.count // tp)))


def _uneven(config: Configuration, ranks: int) -> Iterator[str]:
    """Why ``ranks`` cannot share the layers evenly."""
    model, block = config.model, config.model.quantization.block
    if model.heads % ranks:
        yield f"{model.heads} attention heads cannot be shared by {ranks} ranks: each needs the same number"
    if not model.mla and model.kv_heads % ranks and ranks % model.kv_heads:
        yield f"{model.kv_heads} KV heads can neither be shared nor copied evenly by {ranks} ranks"
    state = model.linear
    if state and (state.value_heads % ranks or (state.key_heads > 1 and state.key_heads % ranks)):
        size = f"{state.value_heads} heads in {state.key_heads} groups"
        yield f"layers with a state of {size} cannot be shared by {ranks} ranks"
    if -(-model.vocabulary // 64) * 64 % ranks:
        yield f"a vocabulary of {model.vocabulary}, padded to a multiple of 64, cannot be shared by {ranks} ranks"
    widths = [model.width] if model.dense_layers else []
    if model.experts and not config.enable_expert_parallel:
        widths.append(model.experts.width)
    for width in widths:
        if width % ranks:
            yield f"a layer's width of {width} cannot be shared by {ranks} ranks"
        if block and width // ranks % block:
            yield f"a layer's width of {width} in {ranks} parts is not a multiple of the {block} that share a scale"


def _lengths(config: Configuration) -> Iterator[Broken]:
    model = config.model
    if config.length > model.max_positions:
        why = f"{config.length} tokens are more than the {model.max_positions} positions that {model.name} knows"
        yield Broken("--max-model-len", why, str(model.max_positions))
    if config.tokens < config.sequences:
        why = f"{config.tokens} tokens a step are fewer than {config.sequences} sequences, each with one"
        yield Broken("--max-num-batched-tokens", why, str(config.sequences))
    if not config.enable_chunked_prefill and config.tokens < config.length:
        why = f"without chunked prefill the longest prompt ({config.length} tokens) has to fit into one step"
        yield Broken("--max-num-batched-tokens", why, str(config.length))
    if config.block not in _BLOCKS:
        nearest = min(_BLOCKS, key=lambda one: abs(one - config.block))
        yield Broken("--block-size", f"{config.block} is none of {', '.join(map(str, _BLOCKS))}", str(nearest))


def _types(config: Configuration) -> Iterator[Broken]:
    gpu, model = config.gpu, config.model
    if gpu.vendor != "nvidia":
        return
    dtype = model.dtype if config.dtype == "auto" else config.dtype
    if dtype == "bfloat16" and gpu.capability < 8:
        why = f"{gpu.name} (compute capability {gpu.capability}) has no bfloat16"
        yield Broken("--dtype", why, "half")
    if model.quantization.compute == "fp8" and gpu.capability < 8:
        yield Broken("--quantization", f"{gpu.name} (compute capability {gpu.capability}) has no kernels for FP8")
    if model.quantization.name in ("awq", "gptq", "mxfp4") and gpu.capability < 7.5:
        why = f"{gpu.name} (compute capability {gpu.capability}) has no kernels for {model.quantization.name}"
        yield Broken("--quantization", why)
