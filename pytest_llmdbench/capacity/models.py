"""A model by name: from the table that comes along, a folder or config.json here, or the Hugging Face cache."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.config_json import BESIDE, read_architecture
from pytest_llmdbench.capacity.quantization import KNOWN, NVIDIA_CACHE, quantization_of
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.errors import DeclarationError, nearest

SHIPPED: Final = Path(__file__).parents[1] / "data" / "models.yaml"
#: A config.json is a few thousand bytes.
_MOST_BYTES: Final = 4 * 2**20
#: What makers themselves publish, and nothing with more bits.
_OWN: Final = ("fp8", "mxfp4", "int4-experts")
#: Endings of quantized checkpoints' names -> the quantization.
_ENDINGS: Final = (
    (r"[-_.](?:fp8(?:[-_.]?(?:dynamic|block|kv|static|tensorwise))?)", "fp8"),
    (r"[-_.](?:quantized[-_.])?w8a8(?:[-_.](?:fp8|int8))?", "w8a8"),
    (r"[-_.](?:quantized[-_.])?w4a16", "w4a16"),
    (r"[-_.]gptq[-_.]int8", "gptq_int8"),
    (r"[-_.]gptq(?:[-_.]int4)?", "gptq"),
    (r"[-_.]awq(?:[-_.](?:int4|4bit))?", "awq"),
    (r"[-_.](?:nv)?fp4", "nvfp4"),
    (r"[-_.]int4", "gptq"),
)


class UnknownModelError(DeclarationError):
    """Nobody here knows a model of this name."""


def find_model(name: str, quantization: str | None = None, *, hub: bool | None = None, key: str = "model") -> Model:
    """The model called ``name``: a path, a name of the table, one in the Hugging Face cache, a quantized copy of one.

    ``quantization`` is what ``--quantization`` asks for; the checkpoint's own wins where it has one. ``hub``: ask the
    Hugging Face hub for what nobody here knows; False where one could ask it, and does not. ``key`` is what errors call
    the name's place.

    Raises:
        UnknownModelError: nobody knows the name; says the nearest that is known.
        DeclarationError: its config.json is no good.
    """
    model = _path(name) or _shipped().get(name.casefold()) or _cached(name) or _copy(name)
    if model is None and hub:
        from pytest_llmdbench.capacity.hub import fetch_config

        model = read_architecture(fetch_config(name), name)
    if model is None:
        raise UnknownModelError(f"{key}: {_unknown(name, '; --hub asks the hub itself' if hub is False else '')}")
    return quantized(model, quantization) if quantization and model.quantization.name == "none" else model


def _unknown(name: str, hub: str) -> str:
    """Why nobody knows the name, and the ways out; ``hub`` is the last of them."""
    if _folder(name):
        return f"'{name:.120}' is a folder, and there is no config.json in it"
    names = {one.name.casefold(): one.name for one in _shipped().values()}
    hint = nearest(name.casefold(), names)
    for small, real in names.items():
        hint = hint.replace(f"'{small}'", f"'{real}'")
    hint = hint if hint.startswith("did") else "'llmdbench-explore models' lists what is."
    return (
        f"'{name:.120}' is not known: {hint} A folder with its config.json is taken as well, and what is in the "
        f"Hugging Face cache{hub}"
    )


def quantized(model: Model, word: str) -> Model:
    """The model with its weights quantized at start-up, as ``--quantization`` does.

    Raises:
        DeclarationError: the word is not known, or is not for this model.
    """
    wanted = quantization_of(word)
    if wanted.name in ("mxfp4", "int4-experts") and model.experts is None:
        raise DeclarationError(f"quantization: {word} is for experts, and {model.name} has none; fp8 is for all models")
    return replace(model, quantization=wanted, quantized_at_start=True)


def known_models() -> list[str]:
    """The names of the table, in its order."""
    return list(dict.fromkeys(model.name for model in _shipped().values()))


@cache
def known_architectures() -> frozenset[str]:
    """Architectures of the table: those that the formulas were checked on."""
    return frozenset(model.architecture for model in _shipped().values())


@cache
def _shipped() -> Mapping[str, Model]:
    found: dict[str, Model] = {}
    for name, entry in load_yaml(SHIPPED).data.items():
        model = read_architecture(entry, name)
        for one in (name, *entry.get("also", ())):
            found[one.casefold()] = replace(model, name=one)
    return found


@cache
def _stems() -> Mapping[str, Model]:
    """By the name alone, without its owner: the base of quantized copies that others publish."""
    found: dict[str, Model] = {}
    for name, model in _shipped().items():
        # A checkpoint that is only there quantized is its own base.
        if model.quantization.name in ("none", *_OWN):
            found.setdefault(_stem(name), model)
    return found


def _stem(name: str) -> str:
    return name.rpartition("/")[2].casefold().removeprefix("meta-")


def _copy(name: str) -> Model | None:
    stem = _stem(name)
    for ending, word in _ENDINGS:
        if match := re.search(ending + "$", stem):
            base = _stems().get(stem[: match.start()])
            if base is None:
                return None
            quantization = KNOWN[word]
            if word == "fp8" and name.partition("/")[0] == base.name.partition("/")[0]:
                # Makers publish FP8 with a scale for each block, others with one for each channel.
                quantization = replace(quantization, block=128)
            if word == "nvfp4" and base.experts and base.quantization.name in _OWN:
                # In those that NVIDIA publishes of such models attention is as it was trained.
                quantization = replace(quantization, linear_bits=None)
            # Copies are in the hub's format, whose vision tower is split; a maker's own may be held whole.
            vision = replace(base.vision, replicated=False) if base.vision else None
            nvidia = name.casefold().startswith("nvidia/") and word in ("fp8", "nvfp4")
            cache = NVIDIA_CACHE if nvidia else None
            return replace(base, name=name, quantization=quantization, fp8_cache=cache, vision=vision, published_b=0.0)
    return replace(_stems()[stem], name=name) if stem in _stems() else None


def _folder(name: str) -> bool:
    try:
        return Path(name).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):
        return False


def _path(name: str) -> Model | None:
    try:
        path = Path(name).expanduser()
        file = path / "config.json" if path.is_dir() else path
        if not file.is_file():
            return None
    except (OSError, ValueError, RuntimeError):  # a path that no system has, or of a user whom nobody knows
        return None
    return _read(file, name)


def _cached(name: str) -> Model | None:
    """The newest snapshot in the cache of the Hugging Face hub, where there is one."""
    if not re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", name) or ".." in name:
        return None
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    found = sorted((hub / f"models--{name.replace('/', '--')}" / "snapshots").glob("*/config.json"))
    return _read(max(found, key=lambda one: one.stat().st_mtime), name) if found else None


def _read(file: Path, name: str) -> Model:
    data = _json(file, name)
    beside = file.with_name(BESIDE)
    if data.get("quantization_config") is None and beside.is_file():
        data = data | {"quantization_config": _json(beside, name)}
    return read_architecture(data, name)


def _json(file: Path, name: str) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MOST_BYTES + 1)
        data: Any = json.loads(raw) if len(raw) <= _MOST_BYTES else None
    except (OSError, ValueError, RecursionError) as error:
        raise DeclarationError(f"{name}: {file.name} cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise DeclarationError(f"{name}: {file.name} is not what belongs to a model")
    return data
