"""What a harness may offer besides: its requests as they finish, while the load is still running."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from pytest_llmdbench.results.request import Request


@runtime_checkable
class Live(Protocol):
    """A program whose file of requests grows while it runs."""

    def follow(self, folder: Path) -> Callable[[], Sequence[Request]]:
        """A function that gives the requests which came since its last call; never raises."""
