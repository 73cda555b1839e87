"""How often a load is run: ``--llmd-repeats``, ``--llmd-extend-inconclusive``, ``--llmd-aa``. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.asked import Asked
from pytest_llmdbench.harnesses.harness import Harness
from pytest_llmdbench.verdicts.share import CONFIDENCE


@dataclass(frozen=True, slots=True)
class Repeats:
    """A load is run ``runs`` times, and up to ``more`` times as long as nobody can tell."""

    runs: int = 1
    more: int = 0

    @property
    def most(self) -> int:
        """How often it is run at most."""
        return self.runs + self.more

    @property
    def confidence(self) -> float:
        """How sure each look has to be, for all of them together to be as sure as one (Bonferroni)."""
        return 1 - (1 - CONFIDENCE) / (1 + self.more)


#: What happens where nobody asks for more.
ONCE: Final = Repeats()


def repeats_of(asked: Asked, harness: Harness) -> Repeats:
    """What was asked for; an engine's start is not repeated by running a load again."""
    if harness.purpose == "startup":
        return ONCE
    # Two arms of the same thing.
    runs = max(asked.get("repeats", 1), 2 * asked.get("aa", 0))
    return Repeats(runs, asked.get("extend_inconclusive", 0))
