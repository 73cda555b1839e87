"""What stands in a file of a load program, asked for by name and checked; what is wrong names file and field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
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
class Fields:
    """An object of fields in a file; ``file`` and ``above`` are what errors call it."""

    file: str
    data: Mapping[str, Any]
    above: str = ""

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

    def wrong(self, field: str, expected: str, found: object) -> HarnessError:
        """The error on a field that is not as it should be."""
        return HarnessError(f"{self.file}: '{self._name(field)}' should be {expected}, not {str(found)[:60]!r}")

    def get(self, field: str) -> Any:
        """The value of a dotted field; None where it, or anything above it, is absent."""
        value: Any = self.data
        passed = ""
        for part in field.split("."):
            if value is None:
                return None
            if not isinstance(value, Mapping):
                raise self.wrong(passed, "an object of fields", value)
            value = value.get(part)
            passed = f"{passed}.{part}".lstrip(".")
        return value

    def below(self, field: str) -> Fields:
        """The object at ``field``, empty where it is absent."""
        found = self.get(field)
        if found is not None and not isinstance(found, Mapping):
            raise self.wrong(field, "an object of fields", found)
        return Fields(self.file, found or {}, self._name(field))

    def items(self, field: str) -> Sequence[Any]:
        """The list at ``field``, empty where it is absent."""
        found = self.get(field)
        if found is not None and not isinstance(found, list):
            raise self.wrong(field, "a list", found)
        return found or ()

    def text(self, field: str) -> str | None:
        """The text at ``field``."""
        found = self.get(field)
        if found is not None and not isinstance(found, str):
            raise self.wrong(field, "a text", found)
        return found

    def number(self, field: str, scale: float = 1.0) -> float | None:
        """The number at ``field``, times ``scale``."""
        return self._checked(field, self.get(field), scale)

    def count(self, field: str) -> int | None:
        """The whole number at ``field``, 0 or more."""
        value = self.number(field)
        if value is not None and (value < 0 or value != int(value)):
            raise self.wrong(field, "a count", value)
        return None if value is None else int(value)

    def needed_number(self, field: str) -> float:
        """As :meth:`number`, of a field that the file cannot be without."""
        value = self.number(field)
        if value is None:
            raise self.wrong(field, "a number", None)
        return value

    def needed_count(self, field: str) -> int:
        """As :meth:`count`, of a field that the file cannot be without."""
        value = self.count(field)
        if value is None:
            raise self.wrong(field, "a count", None)
        return value

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
            value = self._checked(key, self.data[key], scale)
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

    def _checked(self, field: str, value: object, scale: float) -> float | None:
        if value is None:
            return None
        try:
            if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value):
                return float(value) * scale
        except OverflowError:  # a whole number of hundreds of digits
            pass
        raise self.wrong(field, "a number", value)

    def _name(self, field: str) -> str:
        return f"{self.above}.{field}" if self.above else field
