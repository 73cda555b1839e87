"""What stands in a report or a recorded file, asked for by name and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar

from pytest_llmdbench.errors import LlmdError, ResultsError
from pytest_llmdbench.fields import LARGEST_COUNT, CheckedFields

__all__ = ["LARGEST_COUNT", "Part"]


@dataclass(frozen=True, slots=True)
class Part(CheckedFields):
    """An object of fields in a recorded file."""

    error: ClassVar[type[LlmdError]] = ResultsError

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
        return [Part(self.file, item, self.named(f"{field}.{index}")) for index, item in enumerate(found)]

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
