"""Reading a configuration from JSON without any library: every message names the key and what it may be."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Config = TypeVar("Config")


def parse_config(kind: type[Config], text: str | bytes) -> Config:
    """Build ``kind`` (a dataclass of this package) from JSON text; raise ``ValueError`` with one clear line."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"simulator: not JSON: {error}") from None
    return build_config(kind, data)


def build_config(kind: type[Config], data: object, at: str = "") -> Config:
    """Build ``kind`` from decoded JSON; ``at`` is the path of keys that led here. Raises ``ValueError``."""
    if not isinstance(data, Mapping):
        # One kind of error for the caller, whatever is wrong with what the user wrote.
        raise ValueError(f"simulator: {at or 'the configuration'} must be a mapping, not {_kind_of(data)}")  # noqa: TRY004
    hints = get_type_hints(kind)
    known = {item.name for item in dataclasses.fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    values = {}
    for name, value in data.items():
        path = f"{at}.{name}" if at else str(name)
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            raise ValueError(f"simulator: unknown key {path}" + (f", did you mean {near[0]}?" if near else ""))
        values[name] = _convert(hints[name], value, path)
    return kind(**values)


def _convert(hint: Any, value: object, path: str) -> object:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build_config(hint, value, path)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"simulator: {path} must be a list, not {_kind_of(value)}")
        return tuple(_convert(get_args(hint)[0], item, f"{path}[{index}]") for index, item in enumerate(value))
    wanted = hint if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) else str
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ValueError(f"simulator: {path} must be a {wanted.__name__}, not {_kind_of(value)}")
    return value


def _kind_of(value: object) -> str:
    return f"{type(value).__name__} {value!r}"
