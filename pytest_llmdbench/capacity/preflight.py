"""Can the engines of a scenario start on its GPUs: asked before anything is deployed. Pure, and takes milliseconds.

What nobody knows (the model, the GPU, an engine of another kind) is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pytest_llmdbench.capacity.configuration import DEFAULT_VERSION, Configuration
from pytest_llmdbench.capacity.corrections import corrected, default_file
from pytest_llmdbench.capacity.gpus import Gpu, find_gpu
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.placement import Broken
from pytest_llmdbench.capacity.validation import Fix, Validation, validate
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


@dataclass(frozen=True, slots=True)
class Finding:
    """One role's engine: who it is, what was found, and whether the scenario must not be deployed."""

    role: Role
    validation: Validation

    @property
    def fatal(self) -> bool:
        """Whether it will not start."""
        return self.validation.verdict == "will not start"

    @property
    def text(self) -> str:
        """One sentence, with the ways out."""
        found = self.validation
        flags = "vllm" if self.role == "pods" else f"{self.role}.vllm"
        ways = "; or ".join(f"{_key(fix.flag, flags)}: {fix.value or 'true'} ({fix.why})" for fix in found.fixes[:4])
        mend = f". Set {ways}" if ways else ""
        return (
            f"{found.config.model.name} on {found.config.gpus} x {found.config.gpu.name} ({self.role}) "
            f"{found.verdict}: {found.why}{mend}"
        )


def check_scenario(scenario: Scenario) -> list[Finding]:
    """The roles of a scenario that are known well enough to be judged, each with its finding."""
    if scenario.deploy not in ("standalone", "modelservice") or scenario.engine.kind != "vllm":
        return []
    product = scenario.accelerator.product
    try:
        gpu = find_gpu(product) if product else None
    except DeclarationError:
        gpu = None
    return [] if gpu is None else list(_findings(scenario, gpu))


def _findings(scenario: Scenario, gpu: Gpu) -> Iterator[Finding]:
    for role in _roles(scenario):
        pods = scenario.role(role)
        if not pods.replicas or _LONG in pods.env or any(_FREE.match(argument) for argument in pods.vllm.extra_args):
            continue
        try:
            found = validate(corrected(configuration_of(scenario, pods, gpu), default_file()))
        except DeclarationError:
            continue
        few = _too_few_gpus(pods)
        yield Finding(role, _with(found, few) if few else found)


def _too_few_gpus(pods: Pods) -> Broken | None:
    flags = pods.vllm
    copies = flags.data_parallel_size_local or flags.data_parallel_size
    needed = flags.tensor_parallel_size * flags.pipeline_parallel_size * copies
    if pods.gpus is None or pods.workers > 1 or pods.gpus >= needed:
        return None
    why = f"tensor x pipeline x data parallel takes {needed} GPUs, and a pod has {pods.gpus}"
    return Broken("pods.gpus", why, str(needed))


def _with(found: Validation, broken: Broken) -> Validation:
    fix = Fix(broken.flag, broken.value or "", broken.why)
    return replace(found, verdict="will not start", why=broken.why, broken=[broken], fixes=[fix])


def configuration_of(scenario: Scenario, pods: Pods, gpu: Gpu) -> Configuration:
    """The engine of a role. Raises DeclarationError for a model or a type that nobody knows."""
    flags = pods.vllm
    version = re.search(r":v?(\d{1,4}\.\d{1,4}[\w.]*)$", scenario.engine.image)
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
        version=version[1] if version else DEFAULT_VERSION,
    )


def _roles(scenario: Scenario) -> Sequence[Role]:
    return ("pods",) if scenario.deploy == "standalone" else ("decode", "prefill")


def _key(flag: str, flags: str) -> str:
    """A flag of vLLM as the key of a scenario."""
    return f"{flags}.{flag.removeprefix('--').replace('-', '_')}" if flag.startswith("--") else flag
