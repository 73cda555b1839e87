"""What real starts taught: by how much the KV cache of a model on a GPU was larger or smaller than estimated.

One small JSON file of the user's. A correction holds for one model, GPU, release and parallelism.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.calibration import Compared
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.errors import DeclarationError

#: A larger difference, as a share of the memory that vLLM takes, is that of another engine and not an error.
_MOST: Final = 0.1
_MOST_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Correction:
    """GiB that the KV cache of one GPU has more (below 0: less) than estimated, and the day of the start."""

    kv_gib: float
    day: str


def default_file() -> Path:
    """Where corrections are kept: ``capacity.json`` among the user's data."""
    from platformdirs import user_data_path

    return user_data_path("llmdbench") / "capacity.json"


def check_file(file: Path, *, new: bool) -> None:
    """Whether a file that somebody named may hold corrections; ``new``: it may also be made.

    Raises:
        DeclarationError: it is not there, cannot be read, or is another file, which storing would write over.
    """
    if not file.exists() and new:
        return
    try:
        text = file.read_bytes()
    except OSError as error:
        raise DeclarationError(f"{file}: cannot be read: {error.strerror}") from error
    kept = _read(file)
    if text.strip() not in (b"", b"{}") and not kept:
        raise DeclarationError(f"{file}: is no file of corrections, as 'compare --store' keeps them")


def corrected(config: Configuration, file: Path) -> Configuration:
    """The engine with what is known of it; as it was where nothing is, or the file cannot be read."""
    found = _read(file).get(_key(config))
    return replace(config, correction_gib=found.kv_gib) if found else config


def store(config: Configuration, compared: Sequence[Compared], file: Path) -> Correction:
    """Keep what one start showed, in place of what was kept of it before.

    Raises:
        DeclarationError: the log does not say the size of its KV cache, it is that of another engine, or the file
            cannot be written.
    """
    measured = next((one.measured for one in compared if one.name == "KV cache"), None)
    if measured is None:
        raise DeclarationError("nothing was stored: the log does not say how much memory its KV cache has")
    plain = memory(replace(config, correction_gib=0.0))
    found = Correction(round(measured - plain.kv, 3), date.today().isoformat())
    if abs(found.kv_gib) > _MOST * plain.requested:
        raise DeclarationError(
            f"nothing was stored: the KV cache of the log has {measured:.1f} GiB, and {plain.kv:.1f} were estimated: "
            "that is another engine. Give the flags, the GPU and the release (--vllm) that it was started with"
        )
    known = {**_read(file), _key(config): found}
    text = json.dumps({key: {"kv_gib": one.kv_gib, "day": one.day} for key, one in known.items()}, indent=1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: others may read it at the same time.
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise DeclarationError(f"{file}: cannot be written: {error.strerror}") from error
    return found


def _key(config: Configuration) -> str:
    major, minor = config.release
    sizes = (config.tensor_parallel_size, config.pipeline_parallel_size, config.data_parallel_size)
    parts = (config.model.name, config.model.quantization.name, config.gpu.name, f"{major}.{minor}", *map(str, sizes))
    return " | ".join(parts)


def _read(file: Path) -> Mapping[str, Correction]:
    """What is kept; what is no correction is passed over, for an estimate does without."""
    try:
        with file.open("rb") as opened:
            data: Any = json.loads(opened.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    found = {}
    for key, one in data.items() if isinstance(data, dict) else ():
        value = one.get("kv_gib") if isinstance(one, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[key] = Correction(float(value), str(one.get("day", "")))
    return found
