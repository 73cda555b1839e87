"""An xdist worker's side of stacks: it asks the controller for what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_llmdbench.stacks.source import StackSource
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

if TYPE_CHECKING:
    from pytest_llmdbench.stacks.broker import RemotePool


class StackBorrower(StackSource):
    """``address`` is where the controller's broker is, ``worker`` the name that this process borrows under."""

    def __init__(self, address: dict[str, str], worker: str) -> None:
        self._address = address
        self._worker = worker
        self._remote: RemotePool | None = None

    @property
    def pool(self) -> RemotePool:
        """The connection to the controller, made on first use."""
        if self._remote is None:
            from pytest_llmdbench.stacks.broker import RemotePool

            self._remote = RemotePool(self._address, self._worker)
        return self._remote

    def plan(self, cases: Mapping[str, StackSpec]) -> None:
        """Tell the controller; without cases there is nobody to connect to."""
        if cases:
            self.pool.plan(cases)

    def acquire(self, spec: StackSpec) -> Endpoint:
        """Borrow a stack. Raises StandupError."""
        return self.pool.acquire(spec.key)

    def release(self, key: str) -> None:
        """Give it back."""
        self.pool.release(key)

    def say(self, line: str) -> None:
        """Show one line on the controller's terminal."""
        self.pool.say(line)
