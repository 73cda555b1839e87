"""Memory that is neither weights nor KV cache: the peak of a step, NCCL and the driver, CUDA graphs. GiB."""

from __future__ import annotations

from typing import Final

from pytest_llmdbench.capacity.configuration import V1, Configuration

GIB: Final = 2.0**30
#: What an engine allocates whatever the model is.
_REST_GIB: Final = 0.03
#: Tokens that the kernels of experts take at a time.
_EXPERT_TOKENS: Final = 32768
#: The largest picture, encoded, and its place in the encoder's cache.
_PICTURE_GIB: Final = 0.15
#: Buffers between pipeline stages.
_PIPELINE_GIB: Final = 0.07
#: The graphs of vLLM's usual 51 batch sizes, GiB a layer; the first has the pool that the others share.
_GRAPHS_GIB: Final = 0.022
_GRAPHS_SHARED: Final = 0.4
_GRAPHS_USUAL: Final = 51


def activation_gib(config: Configuration, *, last: bool = True) -> float:
    """Peak of the profiling run above the weights: the sampler with all sequences, or one full step.

    Only the last pipeline rank samples.
    """
    model, hidden, tokens = config.model, config.model.hidden, config.tokens
    width = model.width if model.dense_layers else 0
    if model.experts:
        width = max(width, model.experts.shared)
    forward = tokens * (3 * width / config.tensor_parallel_size + 3 * hidden) * config.bytes
    # Logits in the dtype, and copies of 4 bytes: nine before the sampler of 0.17, three since.
    copies = (3.17 if config.release >= (0, 17) else 9.12) + config.bytes / 4
    sampler = copies * min(config.sequences, tokens) * model.vocabulary * 4 + tokens * hidden * config.bytes
    # Before V1 no sequence of a profiled chunk was at its end, so none was sampled.
    last = last and not (config.release < V1 and config.chunked)
    rest = _REST_GIB + (_PICTURE_GIB if model.vision else 0.0)
    return (max(sampler if last else 0.0, forward) + _experts(config)) / GIB + rest


def _experts(config: Configuration) -> float:
    """Workspace of the fused kernels: every token once for each expert it goes to, bytes."""
    experts = config.model.experts
    # The kernels for MXFP4 have none of their own.
    if experts is None or config.model.quantization.name == "mxfp4":
        return 0.0
    width = experts.width / (1 if config.enable_expert_parallel else config.tensor_parallel_size)
    hidden = experts.latent or config.model.hidden
    wide = max(2 * width, hidden) + max(width, hidden)
    return min(config.tokens, _EXPERT_TOKENS) * experts.active * wide * config.bytes


def non_torch_gib(config: Configuration) -> float:
    """What the driver, NCCL and buffers of the all-reduce take outside of torch while it is profiled."""
    new, ranks = config.release >= (0, 18), config.tensor_parallel_size * config.data_parallel_size
    pipeline = config.pipeline_parallel_size > 1
    if ranks == 1:
        # NCCL is there before the profiling begins.
        return _PIPELINE_GIB if pipeline else _driver_gib(config)
    if config.release < V1:
        return 0.3
    if not config.gpu.nvlink:
        base = 0.3
    elif ranks == 2:
        base = 2.08 if new else 0.55
    else:
        base = 2.15 if new else 1.1
    return base + (_PIPELINE_GIB if pipeline else 0.0)


def _driver_gib(config: Configuration) -> float:
    if config.release < V1:
        return 0.09
    return 0.25 if config.release >= (0, 18) else 0.13


def cuda_graphs_gib(config: Configuration) -> float:
    """What is set aside for CUDA graphs: since 0.21, and not with ``--enforce-eager``. An estimate of an estimate."""
    if config.enforce_eager or config.release < (0, 21):
        return 0.0
    most = min(512, 2 * config.sequences)
    sizes = sum(1 for size in (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)) if size <= most)
    share = _GRAPHS_SHARED + (1 - _GRAPHS_SHARED) * sizes / _GRAPHS_USUAL
    layers = config.model.layers / config.pipeline_parallel_size
    return _GRAPHS_GIB * layers * min(1.0, share) + (0.8 if _all_reduces(config) else 0.0)


def _all_reduces(config: Configuration) -> bool:
    return config.tensor_parallel_size > 1 and config.gpu.nvlink
