"""What stands in a file of a load program, and the tables that say what its fields are in canonical units."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from pytest_llmdbench.errors import HarnessError, LlmdError
from pytest_llmdbench.fields import CheckedFields
from pytest_llmdbench.results.result import Distribution

#: Statistics by the names that load programs give them; a percentile is told by its number.
_NAMED: Final = {
    **dict.fromkeys(("mean", "avg"), "mean"),
    "min": "minimum",
    "max": "maximum",
    **dict.fromkeys(("std", "std_dev", "stddev"), "stddev"),
}
_PERCENTILE: Final = re.compile(r"p(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Mapped:
    """One line of a harness's table: the field in its file, the canonical name, and what a value is worth.

    ``scale`` turns the program's unit (``unit``, for people) into the canonical one: 0.001 for milliseconds.
    """

    field: str
    name: str
    unit: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Fields(CheckedFields):
    """An object of fields in a load program's file."""

    error: ClassVar[type[LlmdError]] = HarnessError

    @classmethod
    def load(cls, path: Path, absent: str) -> Fields:
        """Read a JSON file. Raises HarnessError; ``absent`` is its sentence where there is no such file."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise HarnessError(absent) from error
        except (OSError, ValueError, RecursionError) as error:
            raise HarnessError(f"{path}: cannot be read, or was cut short: {error}") from error
        return cls.of(path, data)

    @classmethod
    def of(cls, file: Path | str, data: object, above: str = "") -> Fields:
        """What was read from a file already. Raises HarnessError where it is no object."""
        if not isinstance(data, Mapping):
            raise HarnessError(f"{file}: {f'{above!r} is ' if above else ''}not an object of fields")
        return cls(str(file), data, above)

    def items(self, field: str) -> Sequence[Any]:
        """The list at ``field``, empty where it is absent."""
        found = self.get(field)
        if found is not None and not isinstance(found, list):
            raise self.wrong(field, "a list", found)
        return found or ()

    def distribution(self, field: str, scale: float = 1.0) -> Distribution | None:
        """The distribution at ``field``, an object of statistics; None where it has none, as when nothing completed."""
        return self.below(field).statistics(scale)

    def statistics(self, scale: float = 1.0) -> Distribution | None:
        """This object's own fields as a distribution: ``mean``, ``min``, ``std_dev``, ``median``, ``p99.9`` ..."""
        named: dict[str, Any] = {}
        percentiles: dict[float, float] = {}
        for key in self.data:
            match = _PERCENTILE.fullmatch(key)
            if not (match or key in _NAMED or key == "median"):
                continue
            # A name may hold a dot (p99.9), so it is not asked for as a path.
            value = self.checked(key, self.data[key], scale)
            if value is None:
                continue
            if key in _NAMED:
                named[_NAMED[key]] = value
            else:
                percentiles[float(match[1]) if match else 50.0] = value
        if "mean" not in named and not percentiles:
            return None
        return Distribution(percentiles=dict(sorted(percentiles.items())), **named)

    def numbers(self, table: Iterable[Mapped]) -> dict[str, float]:
        """Canonical name -> number, of all fields of a table that are there; the first of a name counts."""
        found: dict[str, float] = {}
        for one in table:
            value = self.number(one.field, one.scale)
            if value is not None:
                found.setdefault(one.name, value)
        return found

    def distributions(self, table: Iterable[Mapped]) -> dict[str, Distribution]:
        """Canonical name -> distribution, of all fields of a table that are there; the first of a name counts."""
        found: dict[str, Distribution] = {}
        for one in table:
            value = self.distribution(one.field, one.scale)
            if value is not None:
                found.setdefault(one.name, value)
        return found
