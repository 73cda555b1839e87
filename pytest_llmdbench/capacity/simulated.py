"""The embedded simulator at the estimated speed of an engine, so that a sweep can be rehearsed without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.placement import broken_rules, check_sizes
from pytest_llmdbench.capacity.roofline import Roofline
from pytest_llmdbench.capacity.speed import FRONT_S
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.simulator.config import SimulatorConfig

#: Where the straight lines of the simulator touch the roofline: sequences of a step, and tokens of a prompt.
_SEQUENCES: Final = 64
_CONTEXT: Final = 1024
_PROMPT: Final = 2048
#: What the simulator takes from an engine: its times always, its sizes where none are said.
TIMES: Final = ("ttft", "itl", "itl_per_sequence", "prefill_per_token")
SIZES: Final = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "block_size", "num_kv_blocks")


def simulator_like(config: Configuration) -> SimulatorConfig:
    """The simulator's settings: seconds, tokens and blocks of one replica.

    Its step grows linearly with the sequences in it: right at one and at 64 of them, with 1024 tokens each.

    Raises:
        DeclarationError: the engine would not start.
    """
    name = f"{config.model.name} does not start on {config.gpu.name}, so there is nothing to simulate"
    if broken := broken_rules(config):
        way = f"; {broken[0].flag} {broken[0].value} mends it" if broken[0].value else ""
        raise DeclarationError(f"{name}: {broken[0].why}{way}")
    room, line = memory(config), Roofline(config)
    if room.spare < 0:
        raise DeclarationError(f"{name}: it has not the memory; 'llmdbench-explore check' tells which flags mend it")
    one, many = (line.decode_s(number, _CONTEXT) for number in (1, _SEQUENCES))
    slope = max(0.0, (many - one) / (_SEQUENCES - 1))
    copies = config.data_parallel_size
    blocks = max(int(room.concurrency * config.length), config.length) // config.block + 1
    return SimulatorConfig(
        ttft=round(FRONT_S, 6),
        itl=round(one - slope, 6),
        itl_per_sequence=round(slope / copies, 9),
        prefill_per_token=round(line.prefill_s(_PROMPT) / _PROMPT / copies, 9),
        max_model_len=config.length,
        max_num_seqs=config.sequences * copies,
        max_num_batched_tokens=max(config.tokens, config.sequences) * copies,
        block_size=config.block,
        num_kv_blocks=blocks * copies,
    )


def settings_like(like: str, model: str, vllm: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of ``simulator:`` with what ``like`` (a GPU) fills in, for a model and flags of vLLM.

    Raises:
        DeclarationError: the GPU, the model or a type is not known, or the model does not start on that GPU.
    """
    flags = (
        "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "max_model_len", "max_num_seqs",
        "max_num_batched_tokens", "gpu_memory_utilization", "block_size", "dtype", "kv_cache_dtype", "enforce_eager",
    )  # fmt: skip
    given = {flag: vllm[flag] for flag in flags if vllm.get(flag) is not None}
    config = Configuration(find_model(model, vllm.get("quantization"), key="model.name"), find_gpu(like), **given)
    check_sizes(config)
    found = simulator_like(config)
    times = {key: getattr(found, key) for key in TIMES}
    sizes = {key: getattr(found, key) for key in SIZES}
    return {**sizes, **said, **times}
