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
#: Letters of what a reader of files says on what it cannot read.
LONGEST: Final = 200


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
            raise unreadable(path, error) from error
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

    def amount(self, field: str, scale: float = 1.0) -> float | None:
        """The number at ``field``, times ``scale``; it cannot be below 0."""
        return self._amount(field, self.get(field), scale)

    def distribution(self, field: str, scale: float = 1.0, *, signed: bool = False) -> Distribution | None:
        """The distribution at ``field``, an object of statistics; None where it has none, as when nothing completed.

        Its values cannot be below 0, unless they are ``signed``.
        """
        return self.below(field).statistics(scale, signed=signed)

    def statistics(self, scale: float = 1.0, *, signed: bool = False) -> Distribution | None:
        """This object's own fields as a distribution: ``mean``, ``min``, ``std_dev``, ``median``, ``p99.9`` ..."""
        checked = self.checked if signed else self._amount
        named: dict[str, Any] = {}
        percentiles: dict[float, float] = {}
        for key in self.data:
            match = _PERCENTILE.fullmatch(key)
            if not (match or key in _NAMED or key == "median"):
                continue
            # A name may hold a dot (p99.9), so it is not asked for as a path.
            value = checked(key, self.data[key], scale)
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
        """Canonical name -> number, 0 or more, of all fields of a table that are there; the first of a name counts."""
        found: dict[str, float] = {}
        for one in table:
            value = self.amount(one.field, one.scale)
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

    def _amount(self, field: str, found: object, scale: float) -> float | None:
        value = self.checked(field, found, scale)
        if value is not None and value < 0:
            raise self.wrong(field, "0 or more", found)
        return value


def plain(text: str) -> str:
    """A text that can be written anywhere: a ``?`` for each half of a character.

    Programs note bytes of a server that are no UTF-8, as in the reason of a status, as halves of characters.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def unreadable(path: Path, error: Exception) -> HarnessError:
    """The error, one line of it, on a file that could not be read to its end."""
    said = " ".join(str(error).split())
    return HarnessError(f"{path}: cannot be read, or was cut short: {said[:LONGEST]}")
