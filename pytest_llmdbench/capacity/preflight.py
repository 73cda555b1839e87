"""Can the engines of a scenario start on its GPUs: asked before anything is deployed. Pure, and takes milliseconds.

What nobody knows (the model, the GPU, an engine of another kind) is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pytest_llmdbench.capacity.corrections import corrected, default_file
from pytest_llmdbench.capacity.engines import Role, engines
from pytest_llmdbench.capacity.placement import Broken
from pytest_llmdbench.capacity.products import Product
from pytest_llmdbench.capacity.validation import Fix, Validation, validate
from pytest_llmdbench.declared.pods import Pods
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Finding:
    """One role's engine: who it is, what was found, and whether the scenario must not be deployed.

    ``gpu_known`` says how its GPU is known where the scenario does not name it.
    """

    role: Role
    validation: Validation
    gpu_known: str = ""

    @property
    def fatal(self) -> bool:
        """Whether it will not start."""
        return self.validation.verdict == "will not start"

    @property
    def text(self) -> str:
        """One sentence, with the ways out."""
        found = self.validation
        flags = "vllm" if self.role == "pods" else f"{self.role}.vllm"
        ways = "; or ".join(f"{_said(fix, flags)} ({fix.why})" for fix in found.fixes[:4])
        mend = f". Set {ways}" if ways else ""
        known = f"; its GPU {self.gpu_known}" if self.gpu_known else ""
        return (
            f"{found.config.model.name} on {found.config.gpus} x {found.config.gpu.name} ({self.role}{known}) "
            f"{found.verdict}: {found.why}{mend}"
        )


def check_scenario(scenario: Scenario, products: Mapping[Role, Product] | None = None) -> list[Finding]:
    """The roles of a scenario that are known well enough to be judged, each with its finding.

    ``products`` are the GPUs of roles where the scenario names none.
    """
    return list(_findings(scenario, products))


def _findings(scenario: Scenario, products: Mapping[Role, Product] | None) -> Iterator[Finding]:
    for engine in engines(scenario, products):
        try:
            found = validate(corrected(engine.config, default_file()))
        except DeclarationError:
            continue
        few = _too_few_gpus(engine.pods)
        yield Finding(engine.role, _with(found, few) if few else found, engine.gpu_known)


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


def _said(fix: Fix, flags: str) -> str:
    """A fix as the keys of a scenario."""
    said = f"{_key(fix.flag, flags)}: {fix.value or 'true'}"
    return f"{said} and {_said(fix.also, flags)}" if fix.also else said


def _key(flag: str, flags: str) -> str:
    """A flag of vLLM as the key of a scenario."""
    return f"{flags}.{flag.removeprefix('--').replace('-', '_')}" if flag.startswith("--") else flag
