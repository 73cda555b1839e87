"""Which keys a scenario file of guidellm may have, by version; from the program's own configuration classes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError, nearest

#: The model of a whole scenario file.
ROOT: Final = "BenchmarkScenario"
#: Kinds that the sections of ``spec`` are of where a profile does not say.
KINDS: Final[Mapping[str, str]] = {
    "backend": "openai_http",
    "tokenizer": "huggingface_auto",
    "data_loader": "pytorch",
    "metrics": "generative",
    "seed": "static",
    "data_column_mapper": "generative_column_mapper",
    "data_finalizer": "generative",
}
_ANYTHING: Final = "*"


def known_keys(version: str) -> frozenset[str]:
    """Every key of a version's scenario files, without where it stands."""
    return frozenset(key for keys in _shape()[version].values() for key in keys)


def check_keys(tree: Mapping[str, Any], version: str) -> None:
    """Raise DeclarationError for a key or a kind that the version does not know; names the place and the nearest."""
    _check(tree, ROOT, "", version)


def _check(tree: Mapping[str, Any], model: str, place: str, version: str) -> None:
    known = _shape()[version][model]
    for key, value in tree.items():
        if key not in known:
            raise DeclarationError(f"guidellm {version} has no key '{place}{key}'; {nearest(str(key), known)}")
        for where, section in _sections(value, f"{place}{key}"):
            below = _model(section, known[key], str(key), where, version)
            if below is not None:
                _check(section, below, f"{where}.", version)


def _sections(value: Any, place: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The mappings that a value is or lists, each with its place."""
    if isinstance(value, Mapping):
        return [(place, value)]
    if isinstance(value, list):
        return [(f"{place}.{index}", one) for index, one in enumerate(value) if isinstance(one, Mapping)]
    return []


def _model(section: Mapping[str, Any], below: Mapping[str, str], key: str, place: str, version: str) -> str | None:
    """The model that a section is of; None where it may have any key."""
    if not below:
        raise DeclarationError(f"'{place}' of guidellm {version} is a plain value, not keys and values")
    if set(below) == {""}:
        return None if below[""] == _ANYTHING else below[""]
    kind = section.get("kind", KINDS.get(key))
    if kind is None:
        raise DeclarationError(f"'{place}.kind' is missing; there is {', '.join(sorted(below))}")
    if str(kind) not in below:
        raise DeclarationError(f"'{place}.kind' {kind!r} is none of guidellm {version}'s; {nearest(str(kind), below)}")
    return below[str(kind)]


@cache
def _shape() -> Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]]:
    """Version -> model -> key -> kind (or ``""``) -> the model of what stands below it (or ``*``: anything)."""
    text = Path(__file__).with_name("guidellm_keys.json").read_text(encoding="utf-8")
    shape: Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]] = json.loads(text)
    return shape
