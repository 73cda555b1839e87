"""A model by name: from the table that comes along, a folder or config.json here, or the Hugging Face cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.config_json import read_architecture
from pytest_llmdbench.capacity.folders import cached, from_hub, is_folder, model_at
from pytest_llmdbench.capacity.quantization import (
    FORMATS,
    KNOWN,
    NONE,
    NVIDIA_CACHE,
    quantization_of,
)
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.errors import DeclarationError, nearest

SHIPPED: Final = Path(__file__).parents[1] / "data" / "models.yaml"
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
    (r"[-_.](?:unsloth[-_.])?bnb[-_.]4bit", "bitsandbytes"),
)


class UnknownModelError(DeclarationError):
    """Nobody here knows a model of this name."""


def find_model(name: str, quantization: str | None = None, *, hub: bool | None = None, key: str = "model") -> Model:
    """The model called ``name``: a path, a name of the table, one in the Hugging Face cache, a quantized copy of one.

    ``quantization`` is what ``--quantization`` asks for: of a checkpoint that is quantized, nothing else. ``hub``: ask
    the Hugging Face hub for what nobody here knows; False where one could ask it, and does not. ``key`` is what errors
    call the name's place.

    Raises:
        UnknownModelError: nobody knows the name; says the nearest that is known.
        DeclarationError: its config.json is no good.
    """
    model = model_at(name) or _shipped().get(name.casefold()) or cached(name) or _copy(name)
    if model is None and hub:
        model = from_hub(name)
    if model is None:
        raise UnknownModelError(f"{key}: {_unknown(name, '; --hub asks the hub itself' if hub is False else '')}")
    if quantization is None:
        return model
    return quantized(model, quantization) if model.quantization.name == "none" else _as_it_is(model, quantization)


def _as_it_is(model: Model, word: str) -> Model:
    """A checkpoint that is quantized. Raises DeclarationError where ``--quantization`` asks for what it is not."""
    if word.lower() not in FORMATS:
        asked, own = quantization_of(word).name, model.quantization.name
        if own not in ("mixed", asked):
            raise DeclarationError(
                f"quantization: {word} is asked for, and the weights of {model.name} are {own}: vLLM refuses that; "
                "leave it out"
            )
    return model


def _unknown(name: str, hub: str) -> str:
    """Why nobody knows the name, and the ways out; ``hub`` is the last of them."""
    if is_folder(name):
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
    if word.lower() in FORMATS:
        raise DeclarationError(
            f"quantization: {word} is a format of checkpoints, and {model.name} is not quantized; fp8 is for all models"
        )
    wanted = quantization_of(word)
    if wanted.linear_bits is None and wanted != NONE and model.experts is None:
        raise DeclarationError(f"quantization: {word} is for experts, and {model.name} has none; fp8 is for all models")
    return replace(model, quantization=wanted, quantized_at_start=True)


def known_models() -> list[str]:
    """The names of the table, in its order."""
    return list(dict.fromkeys(model.name for model in _shipped().values()))


@cache
def known_architectures() -> frozenset[str]:
    """Architectures that the formulas were checked on: those of the table that it does not call unchecked."""
    return frozenset(entry["architecture"] for entry in _entries().values() if not entry.get("unchecked"))


@cache
def _entries() -> Mapping[str, Any]:
    entries: Mapping[str, Any] = load_yaml(SHIPPED).data
    return entries


@cache
def _shipped() -> Mapping[str, Model]:
    found: dict[str, Model] = {}
    for name, entry in _entries().items():
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
    return name.rpartition("/")[2].casefold().removeprefix("meta-").removesuffix("-bf16")


def _copy(name: str) -> Model | None:
    stem = _stem(name)
    for ending, word in _ENDINGS:
        if match := re.search(ending + "$", stem):
            base = _stems().get(stem[: match.start()])
            if base is None:
                return None
            quantization = KNOWN[word]
            nvidia = name.casefold().startswith("nvidia/") and word in ("fp8", "nvfp4")
            if word == "fp8" and name.partition("/")[0] == base.name.partition("/")[0] and not nvidia:
                # Makers publish FP8 with a scale for each block, others with one for each channel or matrix.
                quantization = replace(quantization, block=128)
            if base.linear and name.partition("/")[0] != base.name.partition("/")[0]:
                # Others leave layers with a state as they were; the few with attention are taken to be as well.
                quantization = replace(quantization, own_mixers=True)
            if word == "nvfp4" and base.experts and base.quantization.name in _OWN:
                # In those that NVIDIA publishes of such models attention is as it was trained.
                quantization = replace(quantization, linear_bits=None)
            # Copies are in the hub's format, whose vision tower is split; a maker's own may be held whole.
            vision = replace(base.vision, replicated=False) if base.vision else None
            cache = NVIDIA_CACHE if nvidia else None
            return replace(base, name=name, quantization=quantization, fp8_cache=cache, vision=vision, published_b=0.0)
    return replace(_stems()[stem], name=name) if stem in _stems() else None
