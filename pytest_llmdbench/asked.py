"""What was asked for as options, in the form that the plan reads: pure, and cheap to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Given:
    """One value of an option. ``nearness`` is 0 for the ini file, 1 for the environment, 2 for the command line."""

    nearness: int
    origin: str
    value: Any


class Asked(Protocol):
    """The options, by word (``scenario``, ``slo``)."""

    def get(self, word: str, default: Any = None, /) -> Any:
        """The nearest value, or the default where nobody set one."""

    def given(self, word: str) -> Sequence[Given]:
        """Every value that was given, the nearest last."""
