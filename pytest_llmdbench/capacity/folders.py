"""A model from a folder here or its config.json, the cache of the Hugging Face hub, or the hub itself."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.checkpoint import INDEX, quantization_of_files, quantization_of_index, share_of_files
from pytest_llmdbench.capacity.config_json import BESIDE, read_architecture
from pytest_llmdbench.capacity.quantization import Quantization, UnknownQuantizationError
from pytest_llmdbench.errors import DeclarationError

#: A config.json is a few thousand bytes; with a word on each expert of a large model it is some million.
_MOST_BYTES: Final = 32 * 2**20


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder here."""
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):
        return False


def model_at(name: str) -> Model | None:
    """The model of a folder, or of a config.json, called ``name``; None where neither is here.

    Raises:
        DeclarationError: its config.json is no good.
    """
    try:
        path = Path(name).expanduser()
        file = path / "config.json" if path.is_dir() else path
        if not file.is_file():
            return None
    except (OSError, ValueError, RuntimeError):  # a path that no system has, or of a user whom nobody knows
        return None
    return _read(file, name)


def cached(name: str) -> Model | None:
    """The newest snapshot in the cache of the Hugging Face hub, where there is one."""
    if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", name) or ".." in name:
        return None
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    found = sorted((hub / f"models--{name.replace('/', '--')}" / "snapshots").glob("*/config.json"))
    return _read(max(found, key=lambda one: one.stat().st_mtime), name) if found else None


def from_hub(name: str) -> Model:
    """The model that the Hugging Face hub has under ``name``. Raises DeclarationError."""
    from pytest_llmdbench.capacity.hub import fetch, fetch_beside

    return _told(
        fetch(name, "config.json"),
        name,
        lambda: fetch_beside(name, BESIDE),
        lambda plain: quantization_of_index(fetch_beside(name, INDEX), plain),
    )


def _read(file: Path, name: str) -> Model:
    beside = file.with_name(BESIDE)
    model = _told(
        _json(file, name),
        name,
        lambda: _json(beside, name) if beside.is_file() else None,
        lambda plain: quantization_of_files(file.parent, plain),
    )
    return replace(model, files_share=share_of_files(file.parent, model))


def _told(
    data: Mapping[str, Any],
    name: str,
    beside: Callable[[], Mapping[str, Any] | None],
    counted: Callable[[Model], Quantization | None],
) -> Model:
    """The model of a config.json. What it does not tell of its weights stands ``beside`` it, or is ``counted``."""
    reason = ""
    for way in _ways(data, beside):
        try:
            return read_architecture(way, name)
        except UnknownQuantizationError as error:
            reason = str(error)
    plain = read_architecture(data, name, as_if_plain=True)
    if not reason:
        return plain
    found = counted(plain)
    if found is None:
        raise DeclarationError(
            f"{reason}; the bits of its weights can be counted where the checkpoint's *.safetensors or its {INDEX} are "
            "beside the config.json, which is so of no file here"
        )
    return replace(plain, quantization=found)


def _ways(data: Mapping[str, Any], beside: Callable[[], Mapping[str, Any] | None]) -> Iterator[Mapping[str, Any]]:
    """What tells how the weights are quantized, the nearest first."""
    parts = [data, *(part for part in data.values() if isinstance(part, dict))]
    if any(part.get("quantization_config") is not None for part in parts):
        yield data
    if (other := beside()) is not None:
        yield {**data, "quantization_config": other}


def _json(file: Path, name: str) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise DeclarationError(f"{name}: {file.name} has more than {_MOST_BYTES >> 20} MiB, as no model's has")
        data: Any = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise DeclarationError(f"{name}: {file.name} cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise DeclarationError(f"{name}: {file.name} is not what belongs to a model")
    return data
