"""The cases of a plan for tests in which each of them can be."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_llmdbench.case import Case
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.refused import Refused


def possible(cases: Iterable[Case | Refused]) -> list[Case]:
    """The cases. Raises DeclarationError with the reason of the first that cannot be."""
    made = []
    for case in cases:
        if isinstance(case, Refused):
            raise DeclarationError(case.reason)
        made.append(case)
    return made
