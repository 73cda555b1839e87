"""Values of hostile mappings (a config.json, a YAML entry), each checked for its type and a sane size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.errors import DeclarationError

#: No dimension of a model is larger; absurd sizes are refused before anything is computed from them.
_MOST: Final = 100_000_000


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, and what errors call it. Every method raises DeclarationError for a value that cannot be meant."""

    data: Mapping[str, Any]
    name: str

    def count(self, *keys: str, default: int = 0, least: int = 0) -> int:
        """The whole number under the first of ``keys`` that is there and not null."""
        for key in keys:
            value = self.data.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
                raise DeclarationError(f"{self.name}: '{key}' is {value!r:.60}, it must be a whole number from {least}")
            return value
        if default < least:
            raise DeclarationError(f"{self.name}: '{keys[0]}' is missing; without it the model's size is unknown")
        return default

    def number(self, key: str, default: float = 0.0) -> float:
        """The number under ``key``, 0 or more."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise DeclarationError(f"{self.name}: '{key}' is {value!r:.60}, it must be a number, 0 or more")
        return float(value)

    def text(self, *keys: str, default: str = "") -> str:
        """The text under the first of ``keys`` that is there."""
        for key in keys:
            value = self.data.get(key)
            if value is None:
                continue
            if not isinstance(value, str):
                raise DeclarationError(f"{self.name}: '{key}' is {value!r:.60}, it must be text")
            return value
        return default

    def flag(self, key: str, *, default: bool = False) -> bool:
        """The true or false under ``key``."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise DeclarationError(f"{self.name}: '{key}' is {value!r:.60}, it must be true or false")
        return value

    def below(self, key: str) -> Fields | None:
        """The mapping under ``key``; None where it is not there."""
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise DeclarationError(f"{self.name}: '{key}' must be keys and values")
        return Fields(value, f"{self.name}: {key}")
