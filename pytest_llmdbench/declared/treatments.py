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

from pytest_llmdbench.declared.source import KeyPath, Source, load_yaml
from pytest_llmdbench.errors import DeclarationError, nearest

_TOP: Final = (
    "name", "description", "setup", "run", "constants", "treatments",
    "experiment", "design", "reset_caches", "treatment_max_attempts", "treatment_stop_on_error", "validate_failures",
)  # fmt: skip
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
    if "design" in top and not top.keys() & {"setup", "run", "treatments"}:
        raise DeclarationError(
            f"{source.where(('design',))}: 'design' only documents; factors to expand stand under 'setup' or 'run'"
        )
    return Treatments(
        setup=_part(source, ("setup",), top.get("setup")),
        run=_run_part(source, top),
        harness=_text(experiment.get("harness")),
        workload=_text(experiment.get("profile")),
    )


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
        return {str(name): _levels(levels.get(str(name), ())) for name in factors}
    for name, values in _mapping(source, (*at, "factors"), factors).items():
        if not isinstance(values, list) or not values:
            raise DeclarationError(f"{source.where((*at, 'factors', name))}: factor '{name}' wants a list of levels")
    return dict(factors)


def _factorial(
    origin: str, factors: Mapping[str, Sequence[Any]], constants: Mapping[str, Any]
) -> tuple[Treatment, ...]:
    """Every combination of levels, the last factor varying fastest."""
    return tuple(
        Treatment(
            "-".join(
                f"{_word(name.rpartition('.')[2])}{_word(level)}" for name, level in zip(factors, levels, strict=True)
            ),
            {**constants, **dict(zip(factors, levels, strict=True))},
            origin,
        )
        for levels in itertools.product(*factors.values())
    )


def _listed(
    source: Source, at: KeyPath, items: Sequence[Any], factors: Sequence[str], constants: Mapping[str, Any]
) -> tuple[Treatment, ...]:
    treatments: dict[str, Treatment] = {}
    for index, item in enumerate(items):
        where = source.where((*at, index))
        if isinstance(item, Mapping):
            overrides = {str(key): value for key, value in item.items() if key != "name"}
            name = _word(
                item.get("name") or "-".join(f"{_word(k.rpartition('.')[2])}{_word(v)}" for k, v in overrides.items())
            )
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
        if name in treatments:
            raise DeclarationError(f"{where}: a second treatment named '{name}'; first at {treatments[name].origin}")
        treatments[name] = Treatment(name, {**constants, **overrides}, where)
    return tuple(treatments.values())


def _levels(text: Any) -> tuple[Any, ...]:
    if isinstance(text, list):
        return tuple(text)
    return tuple(part.strip().replace(_COMMA, ",") for part in str(text).split(","))


def _mapping(source: Source, at: KeyPath, data: Any) -> Mapping[str, Any]:
    if data is None or data == ():
        return {}
    if not isinstance(data, Mapping):
        raise DeclarationError(f"{source.where(at)}: expected keys and values, found a {type(data).__name__}")
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
