"""What to vary: a treatments file, with factors to expand or treatments listed by hand.

Files of llm-d-benchmark's ``experiment`` load as they are: its listed treatments with dotted overrides, its documentary
``design`` block, and the older form with treatments as comma-separated levels.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.declared.layers import kind_of
from pytest_llmdbench.declared.source import KeyPath, Source, load_yaml, parse_yaml
from pytest_llmdbench.errors import DeclarationError, nearest

_TOP: Final = (
    "name", "description", "setup", "run", "constants", "treatments",
    "experiment", "design", "reset_caches", "treatment_max_attempts", "treatment_stop_on_error", "validate_failures",
)  # fmt: skip
_EXPERIMENT: Final = ("name", "description", "harness", "profile", "datasetUrl")
_PART: Final = ("factors", "levels", "constants", "treatments")
#: In the comma-separated form: this level leaves the factor alone, and this one stands for a comma.
_LEAVE, _COMMA = "NA", "REPLACE_COMMA"


@dataclass(frozen=True, slots=True)
class Treatment:
    """One combination of levels: ``overrides`` maps keys to values; ``origin`` is where it was declared."""

    name: str
    overrides: Mapping[str, Any]
    origin: str

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Treatments:
    """A whole file. ``setup`` treatments change the stack, ``run`` treatments the workload; either may be empty.

    ``harness`` and ``workload`` are what the file names for all its treatments, if it does.
    """

    setup: tuple[Treatment, ...] = ()
    run: tuple[Treatment, ...] = ()
    harness: str | None = None
    workload: str | None = None

    __hash__ = object.__hash__


def load_treatments(path: Path) -> Treatments:
    """Read a treatments file. Raises DeclarationError with file, line and the nearest key."""
    source = load_yaml(path)
    top = _mapping(source, (), source.data)
    _check_keys(source, (), top, _TOP)
    experiment = _mapping(source, ("experiment",), top.get("experiment"))
    _check_keys(source, ("experiment",), experiment, _EXPERIMENT)
    if "design" in top and not top.keys() & {"setup", "run", "treatments"}:
        raise DeclarationError(
            f"{source.where(('design',))}: 'design' only documents; factors to expand stand under 'setup' or 'run'"
        )
    treatments = Treatments(
        setup=_part(source, ("setup",), top.get("setup")),
        run=_run_part(source, top),
        harness=_text(experiment.get("harness")),
        workload=_text(experiment.get("profile")),
    )
    if not treatments.setup and not treatments.run:
        raise DeclarationError(f"{source.where()}: no treatments; they stand under 'setup' or 'run'")
    return treatments


def _run_part(source: Source, top: Mapping[str, Any]) -> tuple[Treatment, ...]:
    """Run treatments stand under ``run:``, or (upstream's form) at the top as ``treatments:`` with ``constants:``."""
    if "treatments" in top or "constants" in top:
        if isinstance(top.get("run"), Mapping):
            raise DeclarationError(
                f"{source.where(('run',))}: run treatments stand under 'run' or at the top, not both"
            )
        flat = {"treatments": top.get("treatments", top.get("run")), "constants": top.get("constants")}
        return _part(source, (), flat)
    if isinstance(top.get("run"), list):
        return _listed(source, ("run",), top["run"], (), {})
    return _part(source, ("run",), top.get("run"))


def _part(source: Source, at: KeyPath, data: Any) -> tuple[Treatment, ...]:
    part = _mapping(source, at, data)
    if at:
        _check_keys(source, at, part, _PART)
    constants = _mapping(source, (*at, "constants"), part.get("constants"))
    factors = _factors(source, at, part)
    listed = part.get("treatments")
    if listed is not None:
        if not isinstance(listed, list):
            raise DeclarationError(f"{source.where((*at, 'treatments'))}: 'treatments' is a list")
        if factors and any(isinstance(item, Mapping) for item in listed):
            raise DeclarationError(
                f"{source.where((*at, 'factors'))}: either 'factors' to expand or 'treatments' with keys and values"
            )
        return _listed(source, (*at, "treatments"), listed, tuple(factors), constants)
    if factors:
        return _factorial(source.where((*at, "factors")), factors, constants)
    if constants:
        return (Treatment("constants", dict(constants), source.where((*at, "constants"))),)
    return ()


def _factors(source: Source, at: KeyPath, part: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Factor -> levels. Factors are a mapping, or a list of names with the levels beside them (the older form)."""
    factors = part.get("factors") or {}
    levels = _mapping(source, (*at, "levels"), part.get("levels"))
    if isinstance(factors, list):
        for name in factors:
            if str(name) not in levels:
                raise DeclarationError(f"{source.where((*at, 'factors'))}: factor '{name}' has no levels beside it")
        return {str(name): _levels(levels[str(name)]) for name in factors}
    for name, values in _mapping(source, (*at, "factors"), factors).items():
        if not isinstance(values, list) or not values:
            raise DeclarationError(f"{source.where((*at, 'factors', name))}: factor '{name}' wants a list of levels")
    return dict(factors)


def _factorial(
    origin: str, factors: Mapping[str, Sequence[Any]], constants: Mapping[str, Any]
) -> tuple[Treatment, ...]:
    """Every combination of levels, the last factor varying fastest."""
    treatments: dict[str, Treatment] = {}
    for levels in itertools.product(*factors.values()):
        combination = dict(zip(factors, levels, strict=True))
        _add(treatments, Treatment(_name(combination), {**constants, **combination}, origin))
    return tuple(treatments.values())


def _add(treatments: dict[str, Treatment], treatment: Treatment) -> None:
    """Names are unique: stacks and cases are told apart by them."""
    if treatment.name in treatments:
        first = treatments[treatment.name]
        raise DeclarationError(
            f"{treatment.origin}: a second treatment named '{treatment.name}'"
            + (f"; first at {first.origin}" if first.origin != treatment.origin else "; list them, each with a 'name'")
        )
    treatments[treatment.name] = treatment


def _name(overrides: Mapping[str, Any]) -> str:
    """``rate5-output_len100``: the last part of each key with its level."""
    return "-".join(f"{_word(key.rpartition('.')[2])}{_word(level)}" for key, level in overrides.items())


def _listed(
    source: Source, at: KeyPath, items: Sequence[Any], factors: Sequence[str], constants: Mapping[str, Any]
) -> tuple[Treatment, ...]:
    treatments: dict[str, Treatment] = {}
    for index, item in enumerate(items):
        where = source.where((*at, index))
        if isinstance(item, Mapping):
            overrides = {str(key): value for key, value in item.items() if key != "name"}
            name = _word(item.get("name") or _name(overrides))
        elif factors:
            given = _levels(str(item))
            if len(given) != len(factors):
                raise DeclarationError(
                    f"{where}: {len(given)} levels for {len(factors)} factors ({', '.join(factors)})"
                )
            overrides = {key: level for key, level in zip(factors, given, strict=True) if level != _LEAVE}
            name = _word("-".join(str(level) for level in given))
        else:
            raise DeclarationError(f"{where}: a treatment is keys and values, with a 'name'")
        _add(treatments, Treatment(name, {**constants, **overrides}, where))
    return tuple(treatments.values())


def _levels(text: Any) -> tuple[Any, ...]:
    if isinstance(text, list):
        return tuple(text)
    return tuple(_level(part.strip().replace(_COMMA, ",")) for part in str(text).split(","))


def _level(text: str) -> Any:
    """A level as YAML reads it, but for what only looks like several values."""
    return text if "," in text else parse_yaml(text, name="level").data


def _mapping(source: Source, at: KeyPath, data: Any) -> Mapping[str, Any]:
    if data is None or data == ():
        return {}
    if not isinstance(data, Mapping):
        raise DeclarationError(f"{source.where(at)}: expected keys and values, found {kind_of(data)}")
    return data


def _check_keys(source: Source, at: KeyPath, data: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in data:
        if key not in known:
            raise DeclarationError(f"{source.where((*at, key))}: no key '{key}' here; {nearest(str(key), known)}")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _word(value: Any) -> str:
    """A name as it can stand in a test id: pytest's ``-k`` takes letters, digits, ``_``, ``.``, ``+`` and ``-``."""
    return re.sub(r"[^\w.+-]+", "_", str(value)).strip("_") or "_"
