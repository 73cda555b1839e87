"""A YAML or JSON file as plain data, whatever is in it: nothing but ResultsError comes out of a bad one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.fields import Part

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: slower, same result
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

#: No report nests deeper; libyaml's own reader would end the whole process at some ten thousand levels.
DEEPEST: Final = 100
#: Characters of a file that may be one of many alike, as a session's cases have a few scenarios among them.
SHORT: Final = 30_000


def load_yaml(path: Path) -> Part:
    """The object of fields that a YAML file holds, to be read only: files that are alike share it.

    Raises:
        ResultsError: it cannot be read, was cut short, nests too deep, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = _known(text) if len(text) <= SHORT else _plain(text)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise ResultsError(f"{path}: cannot be read, or was cut short: {_one_line(error)}") from error
    if not isinstance(data, Mapping):
        raise ResultsError(f"{path}: is not an object of fields, or was cut short")
    return Part(str(path), data)


def load_json(path: Path) -> Any:
    """What a JSON file holds. Raises ResultsError: it cannot be read, or was cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: cannot be read, or was cut short: {error}") from error


def _plain(text: str) -> Any:
    _check_depth(text)
    # A loader that makes plain data only, as yaml.safe_load does, in C.
    return yaml.load(text, Loader=_Loader)


_known = lru_cache(maxsize=32)(_plain)


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise yaml.YAMLError(f"nests deeper than {DEEPEST} levels, as no results do")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
