"""How a vLLM on this machine's processors is told to start, and what that takes of the memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.processors import SPACE, Fit, fit
from pytest_llmdbench.declared.engine import Vllm
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.vllm_environment import VllmEnvironment
from pytest_llmdbench.stacks.tiny_model import LOAD_FORMAT, OURS, write_tiny_model

#: What holds on processors where the scenario says nothing else. vLLM takes its share of the whole machine's memory
#: and does not start where others use it; the cache has a size of its own, :data:`CACHE_GIB`.
ON_PROCESSORS: Final = Vllm(dtype="bfloat16", enforce_eager=True, block_size=32, gpu_memory_utilization=0.15)
CACHE_GIB: Final = "1"


@dataclass(frozen=True, slots=True)
class VllmCommand:
    """The start of one engine; ``folder`` is where a tiny model is made for it, if the scenario asks for one."""

    scenario: Scenario
    environment: VllmEnvironment
    folder: Path

    @property
    def name(self) -> str:
        """What the model is called by those who ask."""
        return self.scenario.model.name

    @property
    def tiny(self) -> bool:
        """Whether the model is one that is made on the spot."""
        return self.name.startswith(OURS)

    @property
    def flags(self) -> Vllm:
        """The scenario's flags on top of what holds on processors."""
        said = self.scenario.role("pods").vllm.model_dump(exclude_unset=True)
        ours = {"load_format": LOAD_FORMAT} if self.tiny else {}
        return Vllm.model_validate(ON_PROCESSORS.model_dump(exclude_unset=True) | ours | said)

    @property
    def variables(self) -> Mapping[str, str]:
        """What it finds in its environment."""
        local = self.tiny or Path(self.name).expanduser().is_dir()
        return {
            **self.environment.variables,
            # Its development mode alone can forget the prefix cache.
            "VLLM_SERVER_DEV_MODE": "1",
            SPACE: CACHE_GIB,
            **({"HF_HUB_OFFLINE": "1"} if local else {}),
            **self.scenario.role("pods").env,
        }

    def words(self, host: str, port: int) -> Sequence[str]:
        """The program and its arguments."""
        return [
            *(str(self.environment.program("vllm")), "serve", self._model(), "--served-model-name", self.name),
            *("--host", host, "--port", str(port), "--disable-uvicorn-access-log", *self.flags.args()),
        ]

    def fit(self) -> Fit | None:
        """What the engine takes of the memory; None where too little is known. Raises DeclarationError."""
        pods, flags = self.scenario.role("pods"), self.flags
        try:
            model = replace(find_model(self._model(), flags.quantization), name=self.name)
        except DeclarationError:  # vLLM may know it
            return None
        return fit(model, flags, pods, self.variables[SPACE], self.environment.version)

    def _model(self) -> str:
        """What vLLM is told to serve: a folder, that of a tiny model for one, or a name of the hub."""
        if self.tiny:
            return str(write_tiny_model(self.folder / "model"))
        folder = Path(self.name).expanduser()
        return str(folder.absolute()) if folder.is_dir() else self.name
