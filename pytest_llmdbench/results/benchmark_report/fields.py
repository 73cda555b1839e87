"""What stands in a report or a recorded file, asked for by name and checked; what is wrong names file and field."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from pytest_llmdbench.errors import ResultsError

#: Whole numbers are exact in every program up to here; no count of requests or tokens comes near.
LARGEST_COUNT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Part:
    """An object of fields in a file; ``file`` and ``above`` are what errors call it."""

    file: str
    data: Mapping[str, Any]
    above: str = ""

    def wrong(self, field: str, expected: str, found: object) -> ResultsError:
        """The error on a field that is not as it should be."""
        name = f"{self.above}.{field}" if self.above and field else self.above or field or "the file"
        shown = type(found).__name__ if isinstance(found, Mapping | list) else f"{str(found)[:60]!r}"
        return ResultsError(f"{self.file}: '{name}' should be {expected}, not {shown}")

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

    def below(self, field: str) -> Part:
        """The object at ``field``, empty where it is absent."""
        found = self.get(field)
        if found is not None and not isinstance(found, Mapping):
            raise self.wrong(field, "an object of fields", found)
        return Part(self.file, found or {}, f"{self.above}.{field}".lstrip("."))

    def items(self, field: str) -> Sequence[Part]:
        """The objects in the list at ``field``, none where it is absent."""
        found = self.get(field)
        if found is None:
            return ()
        if not isinstance(found, list):
            raise self.wrong(field, "a list", found)
        for index, item in enumerate(found):
            if not isinstance(item, Mapping):
                raise self.wrong(f"{field}.{index}", "an object of fields", item)
        return [Part(self.file, item, f"{self.above}.{field}.{index}".lstrip(".")) for index, item in enumerate(found)]

    def everywhere(self, path: str) -> Iterator[Part]:
        """The objects at a dotted path with ``[]`` for every item of a list; absent ones are left out."""
        place, list_mark, rest = path.partition("[].")
        if list_mark:
            for item in self.items(place):
                yield from item.everywhere(rest)
        elif self.get(place) is not None:
            yield self.below(place)

    def text(self, field: str) -> str | None:
        """The text at ``field``; a moment in time, which YAML may have read as one, as ISO 8601."""
        found = self.get(field)
        if isinstance(found, date | datetime):
            return found.isoformat()
        if found is not None and not isinstance(found, str):
            raise self.wrong(field, "a text", found)
        return found

    def number(self, field: str, scale: float = 1.0) -> float | None:
        """The number at ``field``, times ``scale``."""
        return self.checked(field, self.get(field), scale)

    def count(self, field: str) -> int | None:
        """The whole number at ``field``, 0 or more."""
        value = self.number(field)
        if value is not None and (value < 0 or value != int(value) or value > LARGEST_COUNT):
            raise self.wrong(field, "a count", value)
        return None if value is None else int(value)

    def needed_count(self, field: str) -> int:
        """As :meth:`count`, of a field that the file cannot be without."""
        value = self.count(field)
        if value is None:
            raise self.wrong(field, "a count", None)
        return value

    def checked(self, field: str, value: object, scale: float = 1.0) -> float | None:
        """A value as a number, times ``scale``. Raises ResultsError where it is none, or too large for one."""
        if value is None:
            return None
        try:
            if not isinstance(value, bool) and isinstance(value, int | float):
                scaled = float(value) * scale
                if math.isfinite(scaled):
                    return scaled
        except OverflowError:  # a whole number of hundreds of digits
            pass
        raise self.wrong(field, "a number", value)
