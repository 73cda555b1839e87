"""vLLM on the CPU, in one environment for whoever needs it: the engine, and the load program ``vllm bench serve``.

Use it so; the installation (2.5 GB, some minutes) happens once, into the user's cache::

    environment = VllmEnvironment()
    environment.prepare(say)                      # HarnessError with the way out where it cannot be had
    argv = [str(environment.program("vllm")), "serve", ...]
    env = {**environment.variables, "VLLM_CPU_KVCACHE_SPACE": "1"}

``prepare`` returns at once where all is there (``ready()``) and makes a second caller wait for the first one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.environments import Environment
from pytest_llmdbench.harnesses.locks import lock
from pytest_llmdbench.say import Say

#: The version that is used where none is asked for.
DEFAULT: Final = "0.32.0"
#: The CPU builds of vLLM and torch that go together are there for this Python, system and processor alone.
PYTHON: Final = "==3.11.*"
SYSTEM: Final = ("Linux", "x86_64")
#: Where pip, and so this installation, is told of folders with wheels that no index has.
FIND_LINKS: Final = "PIP_FIND_LINKS"
#: How a wheel of torch for the CPU is named, as found in such a folder.
TORCH_WHEEL: Final = "torch-*+cpu-cp311-*.whl"
#: vLLM asks for its own version under this name, while the CPU build is installed under another; and it takes a CPU for
#: its device only where that version says so.
ASKED_NAME: Final = "vllm"
ASKED_SUFFIX: Final = "+cpu"


class VllmEnvironment:
    """The environment of one version of vLLM for the CPU."""

    #: What every program of vLLM is started with: nothing of our packages, and no word to anybody about its use.
    variables: Mapping[str, str] = MappingProxyType(
        {
            "PYTHONPATH": "",
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
        }
    )

    def __init__(self, version: str | None = None) -> None:
        self.version = version or DEFAULT
        self._environment = _CpuEnvironment(
            "vllm", self.version, lock("vllm", self.version), python=PYTHON, size="2.5 GB"
        )

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        return self._environment.folder

    def ready(self) -> bool:
        """Whether it is complete."""
        return self._environment.ready()

    def program(self, name: str) -> Path:
        """The path of one of its programs (``vllm``, ``python``), there or not."""
        return self._environment.program(name)

    def prepare(self, say: Say) -> None:
        """Install it unless it is there; ``say`` gets a line at the start, every few seconds, and at the end.

        Raises:
            HarnessError: this machine is of another kind, has no Python 3.11, or a package could not be had.
        """
        if self.ready():
            return
        here = (platform.system(), platform.machine())
        if here != SYSTEM:
            raise HarnessError(
                f"vllm {self.version} for the CPU is built for {' '.join(SYSTEM)} alone, and this machine is "
                f"{' '.join(here)}. Send the load from a pod, or use another harness"
            )
        self._environment.prepare(say)


@dataclass(frozen=True)
class _CpuEnvironment(Environment):
    """With torch from where its CPU builds are, and known under the name that vLLM asks for."""

    def _uv(self, arguments: Sequence[str], what: str, say: Say, started: float) -> None:
        if list(arguments[:2]) != ["pip", "sync"]:
            super()._uv(arguments, what, say, started)
            return
        try:
            super()._uv([*arguments, *_torch_source()], what, say, started)
        except HarnessError as error:
            raise HarnessError(
                f"{error}\n  Its torch comes from PyTorch's own index. Where that cannot be reached, put the wheel "
                f"that the lock file names, for CPython 3.11, into a folder and name the folder in {FIND_LINKS}."
            ) from error
        (packages,) = self.folder.glob("lib/python3*/site-packages")
        version = f"{self.version}{ASKED_SUFFIX}"
        known_as = packages / f"{ASKED_NAME}-{version}.dist-info"
        known_as.mkdir()
        (known_as / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {ASKED_NAME}\nVersion: {version}\n", encoding="utf-8"
        )


def _torch_source() -> Sequence[str]:
    """Options of uv that say where the CPU build of torch is: a folder that pip was told of, or torch's own index."""
    given = os.environ.get(FIND_LINKS, "").split()
    if any(any(Path(one).glob(TORCH_WHEEL)) for one in given if "://" not in one):
        return [option for one in given for option in ("--find-links", one)]
    return ["--torch-backend", "cpu"]
