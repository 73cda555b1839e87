"""Who has which stack: up on first need, one borrower at a time, down after the last case. Knows no pytest."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmdbench.errors import LlmdError, StandupError
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.deployment import Deployment, DeploymentFactory, Interruptible
from pytest_llmdbench.stacks.pooled_stack import PooledStack, State
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec


class StackPool:
    """All stacks of a session. Every method may be called from any thread.

    ``factories`` maps a scenario's ``deploy`` to what makes its deployment; ``max_stacks`` bounds how many are up at
    once. ``say`` is called from other threads than the caller's.
    """

    def __init__(self, factories: Mapping[str, DeploymentFactory], say: Say, max_stacks: int | None = None) -> None:
        self._factories = factories
        self._show = say
        self._max_stacks = max_stacks
        self._changed = threading.Condition()
        self._stacks: dict[str, PooledStack] = {}
        self._stack_of: dict[str, str] = {}
        self._finished: set[str] = set()
        self._gone: set[str] = set()
        self._closed = False

    def plan(self, cases: Mapping[str, StackSpec]) -> None:
        """Say which case (by node id) needs which stack; may be said again, by several workers."""
        with self._changed:
            for nodeid, spec in cases.items():
                stack = self._stacks.setdefault(spec.key, PooledStack(spec))
                self._stack_of[nodeid] = spec.key
                # The worker that replaces a dead one plans everything again.
                if nodeid not in self._finished:
                    stack.cases.add(nodeid)

    def stack_of(self, nodeid: str) -> str | None:
        """The key of the stack that a case needs; None for a test that is no case."""
        return self._stack_of.get(nodeid)

    def acquire(self, key: str, borrower: str) -> Endpoint:
        """Wait until the stack is up and nobody has it, and take it; at once if this borrower has it already.

        Raises:
            StandupError: it did not come up, now or earlier (it is not tried again), or the run is ending.
        """
        while (endpoint := self.try_acquire(key, borrower, 60.0)) is None:
            pass
        return endpoint

    def try_acquire(self, key: str, borrower: str, seconds: float) -> Endpoint | None:
        """As :meth:`acquire`, but None after so many seconds: whoever waits can look after other things in between."""
        deadline = time.monotonic() + seconds
        with self._changed:
            stack = self._stacks[key]
            while True:
                if stack.failure is not None:
                    raise stack.told_failure(stack.failure)
                if self._closed:
                    raise StandupError(f"stack {key}: the run is ending")
                if stack.endpoint is not None and not stack.unwanted and stack.borrower in (None, borrower):
                    stack.uses += stack.borrower is None
                    stack.borrower = stack.last = borrower
                    return stack.endpoint
                if stack.state is State.DOWN:
                    self._begin(stack, borrower)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return None
                self._changed.wait(remaining)

    def release(self, key: str, borrower: str) -> None:
        """Give a stack back; without effect if this borrower does not have it."""
        with self._changed:
            stack = self._stacks[key]
            if stack.borrower == borrower:
                stack.borrower = None
                stack.stop_scraping()
                # Only where a case ran once more after it was over (a rerun) is there none left here.
                stack.unwanted |= not stack.cases
                self._changed.notify_all()

    def drop(self, borrower: str) -> None:
        """A borrower is gone: whatever it had is free again."""
        with self._changed:
            self._gone.add(borrower)
            for key in self._stacks:
                self.release(key, borrower)
            self._changed.notify_all()

    def reset(self, key: str) -> str | None:
        """See :meth:`PooledStack.reset`; as the four below, for whoever has borrowed the stack."""
        return self._stacks[key].reset()

    def scrape(self, key: str, interval_s: float, folder: Path) -> None:
        """See :meth:`PooledStack.scrape`."""
        self._stacks[key].scrape(interval_s, folder)

    def so_far(self, key: str) -> Mapping[str, Any]:
        """See :meth:`PooledStack.so_far`."""
        return self._stacks[key].so_far()

    def observe(self, key: str) -> Mapping[str, Any]:
        """See :meth:`PooledStack.observe`."""
        return self._stacks[key].observe()

    def trouble(self, key: str) -> str | None:
        """See :meth:`PooledStack.trouble`."""
        return self._stacks[key].trouble()

    def finish(self, nodeid: str) -> None:
        """A case is over. After the last one of a stack its teardown starts, in the background."""
        with self._changed:
            self._finished.add(nodeid)
            key = self._stack_of.get(nodeid)
            if key is None:
                return
            stack = self._stacks[key]
            stack.cases.discard(nodeid)
            if not stack.cases and stack.state in (State.RISING, State.UP):
                stack.borrower = None  # whoever still has it borrowed it for a case that is over
                stack.unwanted = True
                self._changed.notify_all()

    def close(self, seconds: float | None = None) -> bool:
        """Take everything down, side by side, and wait, at most so many seconds; whether all is down.

        Nothing comes up after. May be called again, to wait on.
        """
        with self._changed:
            interrupted = (
                [] if self._closed else [s.deployment for s in self._stacks.values() if s.state is State.RISING]
            )
            self._closed = True
            for stack in self._stacks.values():
                stack.unwanted = True
            self._changed.notify_all()
        for deployment in interrupted:
            if isinstance(deployment, Interruptible):
                with contextlib.suppress(Exception):  # then it is waited for
                    deployment.interrupt()
        with self._changed:
            return self._changed.wait_for(lambda: self._standing() == 0, seconds)

    def records(self) -> list[dict[str, Any]]:
        """What there is to say of each stack that was asked for: key, seconds up and down, uses, error."""
        with self._changed:
            return [stack.record() for stack in self._stacks.values() if stack.thread is not None]

    def _begin(self, stack: PooledStack, borrower: str) -> None:
        """Have a stack stood up if there is room for it; else make room, if nobody but this borrower would miss it."""
        if self._max_stacks is not None and self._standing() >= self._max_stacks:
            for other in self._stacks.values():
                mine = other.last == borrower or other.last in self._gone
                if other.state is State.UP and other.borrower is None and mine:
                    other.unwanted = True
                    self._changed.notify_all()
                    return
            return
        # A daemon: whoever does not want to wait for a teardown leaves the rest to the reaper.
        stack.thread = threading.Thread(target=self._live, args=(stack,), name=stack.spec.key, daemon=True)
        try:
            stack.state, stack.unwanted, stack.last = State.RISING, False, borrower
            stack.thread.start()
        except BaseException:  # Ctrl-C: the thread may be there all the same, and finds that it is not wanted
            stack.state = State.DOWN
            raise

    def _live(self, stack: PooledStack) -> None:
        """A stack's life from up to down; its own thread, whoever waits for it."""
        with self._changed:
            if stack.thread is not threading.current_thread() or stack.state is State.DOWN:
                return
        try:
            self._stand_up(stack)
            with self._changed:
                self._changed.wait_for(lambda: stack.unwanted)
                stack.state, stack.endpoint = State.FALLING, None
            self._take_down(stack)
        finally:
            with self._changed:
                stack.state, stack.endpoint, stack.deployment = State.DOWN, None, None
                self._changed.notify_all()

    def _stand_up(self, stack: PooledStack) -> None:
        key, began = stack.spec.key, time.monotonic()
        self._say(f"stack {key}: standing up")
        endpoint: Endpoint | None = None
        try:
            endpoint = self._deploy(stack).up()
        except BaseException as error:  # whatever a deployment raises is the answer to everyone who waits
            failure = error if isinstance(error, LlmdError) else StandupError(f"stack {key}: {error!r}")
        took = time.monotonic() - began
        if endpoint is not None:
            self._say(f"stack {key}: up after {took:.1f} s")
        with self._changed:
            if endpoint is not None:
                stack.state, stack.endpoint, stack.standup_s = State.UP, endpoint, took
            else:
                stack.failure, stack.unwanted = failure, True
                stack.error = "the run ended before it was up" if self._closed else str(failure)
            self._changed.notify_all()

    def _deploy(self, stack: PooledStack) -> Deployment:
        deployment = self._factories[stack.spec.deploy](stack.spec, self._say)
        with self._changed:
            stack.deployment = deployment
            if self._closed:  # too late for close() to interrupt it
                raise StandupError(f"stack {stack.spec.key}: the run is ending")
        return deployment

    def _take_down(self, stack: PooledStack) -> None:
        began = time.monotonic()
        try:
            stack.take_down()
        except Exception as error:  # remembered for the report, and the others are taken down all the same
            failed = f"it could not be taken down: {error}"
            stack.error = f"{stack.error}; and {failed}" if stack.error else failed
            self._say(f"stack {stack.spec.key}: {failed}")
        stack.teardown_s = time.monotonic() - began

    def _standing(self) -> int:
        return sum(stack.state is not State.DOWN for stack in self._stacks.values())

    def _say(self, line: str) -> None:
        with contextlib.suppress(Exception):  # a line that cannot be shown leaves no stack behind
            self._show(line)
