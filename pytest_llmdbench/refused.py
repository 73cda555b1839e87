"""What was asked for and cannot be. Pure, and cheap to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """A load, or a case, that what was asked for does not go with; whoever selects it is told the ``reason``."""

    id: str
    reason: str
