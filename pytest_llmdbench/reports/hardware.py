"""What a recorded case ran on, in the words of its scenario and its machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from pytest_llmdbench.results.recorded import CASE, SCENARIO


def hardware(folder: Path) -> Iterator[str]:
    """``NVIDIA-H100-80GB-HBM3``, or for a stack on the machine of the run ``2 processors, Linux``; else nothing."""
    scenario = _scenario(_text(folder / SCENARIO))
    product = _mapping(scenario.get("accelerator")).get("product")
    if scenario.get("deploy") != "local":
        if product:
            yield str(product)
        return
    machine = _mapping(_mapping(_json(_text(folder / CASE)).get("provenance")).get("machine"))
    if machine.get("system"):
        processors = f"{machine['processors']} processors, " if machine.get("processors") else ""
        # The kernel's version is among the facts of each case.
        yield f"{processors}{str(machine['system']).partition('-')[0]}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@lru_cache(maxsize=64)
def _scenario(text: str) -> Mapping[str, Any]:
    # The cases of a run share a few scenarios.
    try:
        return _mapping(yaml.safe_load(text))
    except (yaml.YAMLError, RecursionError, ValueError):
        return {}


def _json(text: str) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
