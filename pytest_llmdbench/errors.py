"""The errors that users see: one sentence on what is wrong, and the way out; and words that sentences share."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LlmdError(Exception):
    """Something that a user can mend; its text is shown without a traceback."""


class DeclarationError(LlmdError):
    """What a user wrote (YAML, option, marker) cannot be meant; names the place and the nearest valid word."""


class StandupError(LlmdError):
    """A stack did not come up; says which part and why."""


class HarnessError(LlmdError):
    """A load program could not be installed, started or read; says which file or step, and the way out."""


class ResultsError(LlmdError):
    """A recorded result cannot be read or is not one; names file and field."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that helps with a misspelt word: ``did you mean 'ttft'?``, or the list of what there is."""
    choices = sorted(set(known))
    matches = get_close_matches(word, choices, n=3, cutoff=0.6)
    if matches:
        return "did you mean " + " or ".join(repr(match) for match in matches) + "?"
    return "there is " + ", ".join(choices) if choices else "there is none"


def counted(number: int, noun: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
