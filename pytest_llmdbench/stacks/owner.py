"""The process that owns the stacks and outlives the xdist workers: pool, reaper and broker, from first use to the end.

Without xdist the tests run in it as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_llmdbench.stacks.screen import Screen
from pytest_llmdbench.stacks.signals import Patience, SigtermAsCtrlC
from pytest_llmdbench.stacks.source import StackSource
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

if TYPE_CHECKING:
    from pytest_llmdbench.stacks.broker import Broker
    from pytest_llmdbench.stacks.deployment import DeploymentFactory
    from pytest_llmdbench.stacks.pool import StackPool
    from pytest_llmdbench.stacks.reaper import Reaper

#: The borrower's name where tests run in the owning process.
_MYSELF: Final = "main"
#: How often the lines of a standup or a teardown are shown, in seconds.
_SHOW_S: Final = 0.2


class StackOwner(StackSource):
    """``deployments`` is called when the first stack is needed; ``max_stacks`` bounds how many are up at once."""

    def __init__(
        self, config: pytest.Config, deployments: Callable[[], Mapping[str, DeploymentFactory]], max_stacks: int | None
    ) -> None:
        self._deployments = deployments
        self._max_stacks = max_stacks
        self._pool: StackPool | None = None
        self._reaper: Reaper | None = None
        self._broker: Broker | None = None
        self._screen = Screen(config)
        #: The cases of this process, until the first of them needs a stack.
        self._planned: dict[str, StackSpec] = {}
        self._sigterm = SigtermAsCtrlC()
        self._patience = Patience()

    @property
    def pool(self) -> StackPool:
        """The pool; the reaper is there before it."""
        if self._pool is None:
            from pytest_llmdbench.stacks.pool import StackPool
            from pytest_llmdbench.stacks.processes import new_mark
            from pytest_llmdbench.stacks.reaper import Reaper

            new_mark()
            self._reaper = Reaper()
            self._pool = StackPool(self._deployments(), self.say, self._max_stacks)
            self._pool.plan(self._planned)
        return self._pool

    @property
    def broker(self) -> Broker:
        """Where workers borrow, made on first use."""
        if self._broker is None:
            from pytest_llmdbench.stacks.broker import Broker

            self._broker = Broker(self.pool, self.say)
            self._screen.tests_elsewhere = True
        return self._broker

    def plan(self, cases: Mapping[str, StackSpec]) -> None:
        """Remember the cases of this process: nothing is made for tests that are only collected."""
        self._planned = dict(cases)

    def acquire(self, spec: StackSpec) -> Endpoint:
        """Borrow a stack, and show meanwhile what is said of it. Raises StandupError."""
        while (endpoint := self.pool.try_acquire(spec.key, _MYSELF, _SHOW_S)) is None:
            self._screen.show()
        self._screen.show()
        return endpoint

    def release(self, key: str) -> None:
        """Give it back."""
        self.pool.release(key, _MYSELF)

    def say(self, line: str) -> None:
        """Show one line, from any thread."""
        self._screen.say(line)

    def records(self) -> list[dict[str, Any]]:
        """What there is to say of each stack that was stood up."""
        return self._pool.records() if self._pool else []

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over, here or in a worker."""
        self._planned.pop(nodeid, None)
        if self._pool:
            self._pool.finish(nodeid)
            self._screen.show()

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """A key that is pressed twice must not end pytest while it still tells of the first time."""
        if self._pool is not None:
            self._patience.begin()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, object, object]:
        """Take down what is left, after xdist has ended its workers and before the summary."""
        if self._pool is not None:
            self._patience.begin()
        try:
            if self._broker is not None:
                # Workers that are still there (Ctrl-C) would wait for a stack, or their load, until xdist kills them.
                self._broker.close(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
            return (yield)
        finally:
            self._end()

    def pytest_unconfigure(self) -> None:
        """The same for a session that never got so far."""
        self._end()
        self._sigterm.undo()

    def _end(self) -> None:
        """Take all stacks down and wait for it, then have the reaper make sure that nothing is left."""
        if self._pool is None or self._reaper is None:
            return
        from pytest_llmdbench.stacks.processes import MARK

        self._patience.begin()
        try:
            if self._patience.lost:  # the pipe to the reaper ends with this process
                return
            if self._broker is not None:
                self._broker.close()
            while not self._pool.close(_SHOW_S):
                self._screen.show()
            self._screen.show()
            left = self._reaper.done()
        finally:
            self._patience.end()
        self._reaper = None
        os.environ.pop(MARK, None)
        for line in left:
            self.say(f"llmdbench: this was left running, and is ended now: {line}")
