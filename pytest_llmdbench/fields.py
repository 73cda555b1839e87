"""What stands in a file that others wrote, asked for by name and checked; what is wrong names file and field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from pytest_llmdbench.errors import LlmdError

#: Whole numbers are exact in every program up to here; no count of requests or tokens comes near.
LARGEST_COUNT: Final = 2**53


@dataclass(frozen=True, slots=True)
class CheckedFields:
    """An object of fields in a file; ``file`` and ``above`` are what errors call it, ``error`` is what they are."""

    error: ClassVar[type[LlmdError]]

    file: str
    data: Mapping[str, Any]
    above: str = ""

    def wrong(self, field: str, expected: str, found: object) -> LlmdError:
        """The error on a field that is not as it should be."""
        shown = type(found).__name__ if isinstance(found, Mapping | list) else repr(str(found)[:60])
        return self.error(f"{self.file}: '{self.named(field) or 'the file'}' should be {expected}, not {shown}")

    def named(self, field: str) -> str:
        """A field's whole name, from the top of the file."""
        return ".".join(part for part in (self.above, field) if part)

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

    def below(self, field: str) -> Self:
        """The object at ``field``, empty where it is absent."""
        found = self.get(field)
        if found is not None and not isinstance(found, Mapping):
            raise self.wrong(field, "an object of fields", found)
        return type(self)(self.file, found or {}, self.named(field))

    def text(self, field: str) -> str | None:
        """The text at ``field``."""
        found = self.get(field)
        if found is not None and not isinstance(found, str):
            raise self.wrong(field, "a text", found)
        return found

    def number(self, field: str, scale: float = 1.0) -> float | None:
        """The number at ``field``, times ``scale``."""
        return self.checked(field, self.get(field), scale)

    def needed_number(self, field: str) -> float:
        """As :meth:`number`, of a field that the file cannot be without."""
        value = self.number(field)
        if value is None:
            raise self.wrong(field, "a number", None)
        return value

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
        """A value as a number, times ``scale``; the error of :meth:`wrong` where it is none, or too large for one."""
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
