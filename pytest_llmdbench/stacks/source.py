"""What the tests of a process borrow their stacks from, whoever owns them; and how a test says which one it needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

if TYPE_CHECKING:
    from pytest_llmdbench.stacks.broker import RemotePool
    from pytest_llmdbench.stacks.pool import StackPool

#: The stack that an item needs; set while items are collected.
STACK_KEY: pytest.StashKey[StackSpec] = pytest.StashKey()


class StackSource(ABC):
    """A pytest plugin of its own, one in each process."""

    @property
    @abstractmethod
    def pool(self) -> StackPool | RemotePool:
        """The stacks, here or in another process; made on first use."""

    @abstractmethod
    def plan(self, cases: Mapping[str, StackSpec]) -> None:
        """Say which of the collected tests, by node id, need which stack."""

    @abstractmethod
    def acquire(self, spec: StackSpec) -> Endpoint:
        """Borrow a stack for a test in this process. Raises StandupError."""

    @abstractmethod
    def release(self, key: str) -> None:
        """Give it back."""

    @abstractmethod
    def say(self, line: str) -> None:
        """Show one line on the terminal of the session, past pytest's capturing."""

    def reset(self, key: str) -> str | None:
        """Bring a borrowed stack to the state that every run starts from; gives what of it could not be done."""
        return self.pool.reset(key)

    def scrape(self, key: str, interval_s: float, folder: Path) -> None:
        """Read the metrics of a borrowed stack's servers until :meth:`observe`, every so many seconds."""
        self.pool.scrape(key, interval_s, folder)

    def so_far(self, key: str) -> Mapping[str, Any]:
        """What a borrowed stack's servers have counted of single requests' times, while they are scraped."""
        return self.pool.so_far(key)

    def observe(self, key: str) -> Mapping[str, Any]:
        """What a borrowed stack says of itself since the last reset."""
        return self.pool.observe(key)

    def trouble(self, key: str) -> str | None:
        """What has happened to a borrowed stack that spoils a load."""
        return self.pool.trouble(key)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan the stacks of all tests that need one; in a worker before xdist tells that the tests are there."""
        self.plan({item.nodeid: item.stash[STACK_KEY] for item in session.items if STACK_KEY in item.stash})
