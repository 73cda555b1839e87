"""How long work tells people how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

#: Takes one line for the user, shown live: ``stack local: waiting for the first completion``.
Say: TypeAlias = Callable[[str], None]
