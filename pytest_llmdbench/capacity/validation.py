"""Will this engine start? The verdict, how sure it is, and the flags that would mend it, each with its value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pytest_llmdbench.capacity.configuration import V1, Configuration, newer_than_known
from pytest_llmdbench.capacity.gpus import known_gpus
from pytest_llmdbench.capacity.memory import Memory, memory
from pytest_llmdbench.capacity.models import known_architectures, quantized
from pytest_llmdbench.capacity.nodes import NODES
from pytest_llmdbench.capacity.placement import Broken, broken_rules, check_sizes, tensor_sizes

#: Beginnings of flags that matter for models with pictures alone.
_OF_PICTURES: Final = ("--limit-mm-", "--mm-", "--language-model-only", "--skip-mm-", "--interleave-mm-")

Verdict = Literal["will start", "will not start", "uncertain"]

#: Share of the memory that vLLM takes within which nobody can be sure: profiling runs differ by as much.
MARGIN: Final = 0.03
#: The same for the engine before V1, whose releases differ in what they count of the driver's memory.
_OLD_MARGIN: Final = 0.05
#: The same where these formulas were not checked: another architecture, or no CUDA or ROCm device.
_FOREIGN_MARGIN: Final = 0.15
#: The first release that these formulas were compared with.
_FIRST: Final = (0, 6)
#: What vLLM makes of weights in 16 bits when it starts.
_AT_START: Final = ("fp8", "bitsandbytes", "mxfp8")
#: An engine of shorter requests is not worth more GPUs, tokens.
_SHORT: Final = 4096
#: A GPU has more memory than another where it has that much of the other's: drivers differ by less.
_LARGER: Final = 1.05
#: More is asking for trouble: the driver and other processes need the rest.
_MOST_UTILIZATION: Final = 0.97


@dataclass(frozen=True, slots=True)
class Fix:
    """A flag with the value that makes the engine start, alone or with another one, and what that does."""

    flag: str
    value: str
    why: str
    also: Fix | None = None

    def __str__(self) -> str:
        """As one writes it on the command line: ``--max-model-len 26000``."""
        flag = "--gpu" if self.flag == "accelerator.product" else self.flag
        return f"{flag} {self.value} {self.also or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class Validation:
    """The answer for one engine. ``why`` is one sentence; ``broken`` are rules on flags, ``fixes`` what mends it."""

    config: Configuration
    memory: Memory
    verdict: Verdict
    why: str
    broken: Sequence[Broken]
    fixes: Sequence[Fix]
    notes: Sequence[str]


def validate(config: Configuration) -> Validation:
    """Judge one engine.

    Raises:
        DeclarationError: a size that nobody can mean.
    """
    check_sizes(config)
    broken = broken_rules(config)
    splits = not any(one.flag in ("--tensor-parallel-size", "--pipeline-parallel-size") for one in broken)
    found = memory(config if splits else replace(config, tensor_parallel_size=1, pipeline_parallel_size=1))
    verdict = _verdict(config, found)
    why = _why(config, found, verdict)
    fixes: list[Fix] = [Fix(one.flag, one.value, one.why) for one in broken if one.value is not None]
    if broken:
        verdict, why = "will not start", broken[0].why
    elif verdict != "will start":
        fixes = list(_fixes(config)) or list(_two_fixes(config))
    if not broken and (unread := _unread(config)):
        verdict, why = "uncertain", f"{why}; not counted, and it may change that: {', '.join(unread)}"
    notes = [] if splits else ["the memory is that of one GPU with the whole model, as it cannot be split so"]
    return Validation(config, found, verdict, why, broken, fixes, [*notes, *_notes(config)])


def _unread(config: Configuration) -> list[str]:
    """Flags that are not counted, and matter for this model."""
    return [one for one in config.unread if config.model.vision or not one.startswith(_OF_PICTURES)]


def _margin(config: Configuration, found: Memory) -> float:
    """GiB by which nobody can be sure."""
    old = config.release < V1
    model = config.model
    checked = model.architecture in known_architectures() and model.files_share == 1 and not (old and model.mla)
    foreign = not checked or config.gpu.vendor not in ("nvidia", "amd") or config.release < _FIRST
    return found.requested * (_FOREIGN_MARGIN if foreign else _OLD_MARGIN if old else MARGIN)


def _verdict(config: Configuration, found: Memory) -> Verdict:
    margin = _margin(config, found)
    if found.spare >= margin:
        return "will start"
    return "will not start" if found.spare < -margin else "uncertain"


def _why(config: Configuration, found: Memory, verdict: Verdict) -> str:
    if found.kv < 0:
        step = found.requested - found.kv - found.weights
        return (
            f"weights ({found.weights:.1f} GiB) and what a step needs ({step:.1f} GiB) are {-found.kv:.1f} GiB more "
            f"than the {found.requested:.1f} GiB that vLLM may take of {config.gpu.name}"
        )
    if verdict == "will start":
        return (
            f"{found.kv:.1f} GiB of KV cache hold {found.tokens:,} tokens: "
            f"{found.concurrency:.1f} requests of {config.length:,}"
        )
    doubt = f", give or take {_margin(config, found):.2f}" if verdict == "uncertain" else ""
    return (
        f"one request of {config.length:,} tokens needs {found.request:.2f} GiB of KV cache, and there are about "
        f"{found.kv:.2f}{doubt}"
    )


def starts(config: Configuration) -> bool:
    """Whether it surely starts: the verdict of :func:`validate` alone, for those who try many."""
    return not broken_rules(config) and _verdict(config, memory(config)) == "will start"


def _fixes(config: Configuration) -> Iterator[Fix]:
    """One flag at a time, the mildest first; each is tried before it is proposed."""
    if (length := _longest(config)) is not None:
        yield Fix("--max-model-len", str(length), "the longest request that has its place in the KV cache")
    for step in range(int(config.utilization * 100) + 1, int(_MOST_UTILIZATION * 100) + 1):
        if starts(replace(config, gpu_memory_utilization=step / 100)):
            yield Fix("--gpu-memory-utilization", f"{step / 100:.2f}", "vLLM takes more of the GPU")
            break
    for sequences in (512, 256, 128, 64, 32, 16):
        if sequences < config.sequences and starts(replace(config, max_num_seqs=sequences)):
            yield Fix("--max-num-seqs", str(sequences), "smaller batches need less memory to sample")
            break
    if config.kv_bytes > 1 and config.gpu.capability >= 8.9 and starts(replace(config, kv_cache_dtype="fp8")):
        yield Fix("--kv-cache-dtype", "fp8", "half the bytes of a token in the KV cache")
    if config.release >= (0, 21) and not config.enforce_eager and starts(replace(config, enforce_eager=True)):
        yield Fix("--enforce-eager", "", "no memory for CUDA graphs, and slower steps")
    yield from _more_gpus(config)
    if config.model.quantization.name == "none" and config.gpu.capability >= 8.9:
        smaller = replace(config, model=quantized(config.model, "fp8"))
        if starts(smaller):
            yield Fix("--quantization", "fp8", "half the bytes of a weight; check the quality of the answers")
    larger = sorted((one for one in known_gpus() if one.vendor == config.gpu.vendor), key=lambda one: one.memory_gib)
    for gpu in larger:
        if gpu.memory_gib > _LARGER * config.total_gib and starts(replace(config, gpu=gpu, memory_gib=None)):
            yield Fix("accelerator.product", gpu.product, "a GPU with more memory")
            break


def _more_gpus(config: Configuration) -> Iterator[Fix]:
    """More ranks of the same node; where it is full, more nodes, which hold layers one after the other."""
    gpu, here = config.gpu, config.tensor_parallel_size
    for size in tensor_sizes(config, gpu.node):
        if size > here and starts(replace(config, tensor_parallel_size=size)):
            yield Fix("--tensor-parallel-size", str(size), f"{size} GPUs share the weights and the KV cache")
            return
    for stages in NODES if here == config.gpus == gpu.node and gpu.nvlink else ():
        if starts(replace(config, pipeline_parallel_size=stages)):
            yield Fix("--pipeline-parallel-size", str(stages), f"{stages} nodes hold the layers one after the other")
            return


def _two_fixes(config: Configuration) -> Iterator[Fix]:
    """Where no flag is enough alone: the fewest GPUs of a node with the longest request there, or more whole nodes."""
    sizes = [size for size in tensor_sizes(config, config.gpu.node) if size > config.tensor_parallel_size]
    for size in sizes:
        length = _longest(replace(config, tensor_parallel_size=size))
        if length is not None and length >= _SHORT:
            why = f"{size} GPUs share the weights and the KV cache, and this is the longest request that they hold"
            yield Fix("--tensor-parallel-size", str(size), why, Fix("--max-model-len", str(length), why))
            return
    for stages in NODES if sizes and config.gpu.nvlink else ():
        if starts(replace(config, tensor_parallel_size=sizes[-1], pipeline_parallel_size=stages)):
            why = f"{sizes[-1]} GPUs of a node share each layer, and {stages} nodes hold the layers one after the other"
            yield Fix("--tensor-parallel-size", str(sizes[-1]), why, Fix("--pipeline-parallel-size", str(stages), why))
            return


def _longest(config: Configuration) -> int | None:
    """The greatest length, in steps of 256 tokens, that surely starts; None where even a short one does not."""
    low, high = 0, config.length // 256
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if starts(replace(config, max_model_len=middle * 256)) else (low, middle - 1)
    return low * 256 or None


def _notes(config: Configuration) -> Iterator[str]:
    if config.correction_gib:
        yield f"the KV cache is corrected by {config.correction_gib:+.2f} GiB, which an earlier start showed"
    if config.model.architecture not in known_architectures():
        yield f"{config.model.architecture[:80] or 'the architecture'} is none that these formulas were checked on"
    if (share := config.model.files_share) != 1:
        yield f"the checkpoint's files hold {share:.2f} times what its config.json tells of; its weights are that much"
    if config.cpu_offload_gb:
        yield f"{config.cpu_offload_gb:g} GiB of the weights are in the host's memory and read from there at each step"
    if config.model.quantized_at_start and config.model.quantization.name not in _AT_START:
        yield f"vLLM quantizes no weights to {config.model.quantization.name} at start: it takes a checkpoint that is"
    if config.release < V1:
        rough = "rough" if config.model.mla or config.release < _FIRST else "less exact than of later ones"
        yield f"vLLM {config.version} has the engine before V1: its figures are {rough}"
    if newer := newer_than_known(config.version):
        yield newer
    if config.gpu.vendor not in ("nvidia", "amd"):
        yield f"{config.gpu.name}: {config.gpu.notes or 'the formulas are those of CUDA'}: its figures are rough"
    if config.model.quantization.compute == "fp8" and 0 < config.gpu.capability < 8.9:
        yield f"{config.gpu.name} keeps FP8 weights and computes in 16 bits"
    if config.tensor_parallel_size > config.gpu.node:
        yield f"a node has {config.gpu.node} {config.gpu.name}: tensor parallel ranks exchange over the network"
    if config.tensor_parallel_size > 1 and not config.gpu.nvlink:
        yield f"{config.gpu.name} has no NVLink: tensor parallel ranks exchange over PCIe"
    if not config.model.mla and config.tensor_parallel_size > config.model.kv_heads:
        yield f"{config.model.kv_heads} KV heads on {config.tensor_parallel_size} ranks: each holds a copy of one"
