"""What an engine's start-up log says, beside what was said before it started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_llmdbench.capacity.configuration import Configuration, Version, release_of
from pytest_llmdbench.capacity.memory import Memory, memory
from pytest_llmdbench.capacity.overhead import GIB
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.startup_log import parse

#: A start-up log is some hundreds of lines; no more than this is read.
_LOG_BYTES: Final = 64 * 2**20
#: What vLLM says of an engine that has no GPU.
_PROCESSORS: Final = "device_config=cpu"
#: A build from sources that knows no tag calls itself 0.1: that is no release.
_FIRST: Final[Version] = (0, 6)


@dataclass(frozen=True, slots=True)
class Compared:
    """One quantity, in GiB, tokens or requests: estimated, and as the log has it."""

    name: str
    unit: str
    estimated: float
    measured: float

    @property
    def error(self) -> float | None:
        """Share of what was measured by which the estimate is too high (below 0: too low); None where that is 0."""
        return self.estimated / self.measured - 1 if self.measured else None


#: Values of ``startup_log`` in the order of trust -> what they are.
_LOGGED: Final = (
    ("weights", "GiB", ("model_bytes", "weights_bytes"), GIB),
    ("activation", "GiB", ("activation_bytes",), GIB),
    ("non-torch", "GiB", ("non_torch_bytes",), GIB),
    ("CUDA graphs", "GiB", ("cuda_graph_estimated_bytes", "cuda_graph_bytes"), GIB),
    ("KV cache", "GiB", ("kv_cache_bytes",), GIB),
    ("KV cache tokens", "tokens", ("kv_cache_tokens",), 1.0),
    ("concurrency", "requests", ("max_concurrency",), 1.0),
)


@dataclass(frozen=True, slots=True)
class Logged:
    """What a log says: the release, where it says one, and values of ``startup_log`` in bytes, tokens and requests."""

    version: str | None
    values: Mapping[str, float]


def read_log(path: Path) -> Logged:
    """The log of one start of an engine on a GPU.

    Raises:
        DeclarationError: it cannot be read, or is that of an engine without a GPU.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LOG_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise DeclarationError(f"{path}: cannot be read: {error.strerror}") from error
    if _PROCESSORS in text:
        raise DeclarationError(f"{path}: this engine ran on processors; estimates are of memory of GPUs")
    log = parse(text)
    return Logged(log.version if log.version and release_of(log.version) >= _FIRST else None, log.values)


def compare(config: Configuration, logged: Mapping[str, float]) -> list[Compared]:
    """What both know; ``logged`` are the values of ``harnesses.startup_log.parse``, in bytes, tokens and requests."""
    said = _said(memory(config))
    made = []
    for name, unit, keys, scale in _LOGGED:
        measured = next((logged[key] / scale for key in keys if key in logged), None)
        # Graphs that were not set aside beforehand are no part of the estimate.
        if measured is not None and not (name == "CUDA graphs" and not said[name]):
            made.append(Compared(name, unit, said[name], measured))
    return made


def _said(found: Memory) -> Mapping[str, float]:
    return {
        "weights": found.weights,
        "activation": found.activation,
        "non-torch": found.non_torch,
        "CUDA graphs": found.cuda_graphs,
        "KV cache": found.kv,
        "KV cache tokens": float(found.tokens),
        "concurrency": found.concurrency,
    }
