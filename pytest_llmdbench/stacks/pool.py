"""Who has which stack: up on first need, one borrower at a time, down after the last case. Knows no pytest."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from pytest_llmdbench.errors import LlmdError, StandupError
from pytest_llmdbench.stacks.deployment import Deployment, DeploymentFactory, Say
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

#: How often a waiting thread looks up, in seconds, so that Ctrl-C is heard.
_TICK_S = 0.2


@dataclass
class _Stack:
    spec: StackSpec
    cases: set[str] = field(default_factory=set)
    deployment: Deployment | None = None
    endpoint: Future[Endpoint] | None = None
    borrower: str | None = None
    down: Future[None] | None = None
    uses: int = 0
    standup_s: float | None = None
    teardown_s: float | None = None
    error: str | None = None


class StackPool:
    """All stacks of a session. Every method may be called from any thread.

    ``factories`` maps a scenario's ``deploy`` to what makes its deployment; ``max_stacks`` bounds how many are up at once.
    """

    def __init__(self, factories: Mapping[str, DeploymentFactory], say: Say, max_stacks: int | None = None) -> None:
        self._factories = factories
        self._say = say
        self._changed = threading.Condition()
        self._stacks: dict[str, _Stack] = {}
        self._free = max_stacks
        self._closed = False

    def plan(self, cases: Mapping[str, StackSpec]) -> None:
        """Say which case (by node id) needs which stack; may be said again, by several workers."""
        with self._changed:
            for nodeid, spec in cases.items():
                self._stacks.setdefault(spec.key, _Stack(spec)).cases.add(nodeid)

    def stack_of(self, nodeid: str) -> str | None:
        """The key of the stack that a case needs; None for a test that is no case."""
        with self._changed:
            return next((key for key, stack in self._stacks.items() if nodeid in stack.cases), None)

    def acquire(self, key: str, borrower: str) -> Endpoint:
        """Wait until the stack is up and nobody has it, and take it.

        Raises:
            StandupError: it did not come up, now or earlier; it is not tried again.
        """
        with self._changed:
            stack = self._stacks[key]
            self._wait(lambda: stack.borrower is None)
            stack.borrower = borrower
        try:
            endpoint = self._up(stack)
        except BaseException:
            self.release(key, borrower)
            raise
        with self._changed:
            stack.uses += 1
        return endpoint

    def release(self, key: str, borrower: str) -> None:
        """Give a stack back; without effect if this borrower does not have it."""
        with self._changed:
            if self._stacks[key].borrower == borrower:
                self._stacks[key].borrower = None
                self._changed.notify_all()

    def drop(self, borrower: str) -> None:
        """A borrower is gone: whatever it had is free again."""
        with self._changed:
            keys = list(self._stacks)
        for key in keys:
            self.release(key, borrower)

    def reset(self, key: str) -> None:
        """Bring a borrowed stack to the state that every run starts from."""
        self._deployment(key).reset()

    def observe(self, key: str) -> Mapping[str, Any]:
        """What a borrowed stack says of itself since the last reset."""
        return self._deployment(key).observe()

    def finish(self, nodeid: str) -> None:
        """A case is over. After the last one of a stack its teardown starts, in the background."""
        with self._changed:
            for stack in self._stacks.values():
                if nodeid in stack.cases:
                    stack.cases.discard(nodeid)
                    if not stack.cases:
                        self._start_down(stack)

    def close(self) -> None:
        """Take everything down, side by side, and wait for it; nothing comes up after. Safe to call again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            endings = [self._start_down(stack) for stack in self._stacks.values()]
        for ending in endings:
            if ending is not None:
                _result(ending)

    def records(self) -> list[dict[str, Any]]:
        """What there is to say of each stack that was asked for: key, seconds up and down, uses, error."""
        with self._changed:
            return [
                {
                    "key": stack.spec.key,
                    "standup_s": stack.standup_s,
                    "teardown_s": stack.teardown_s,
                    "uses": stack.uses,
                    "error": stack.error,
                }
                for stack in self._stacks.values()
                if stack.endpoint is not None
            ]

    def _up(self, stack: _Stack) -> Endpoint:
        """The endpoint, standing the stack up if nobody did; the thread that does it is not the one that waits."""
        with self._changed:
            if stack.endpoint is None:
                self._wait(lambda: self._free is None or self._free > 0 or self._closed)
                if self._closed:
                    raise StandupError(f"stack {stack.spec.key}: the run is ending")
                if self._free is not None:
                    self._free -= 1
                stack.endpoint = Future()
                # Not a daemon: the interpreter does not go before a standup has ended and can be taken down.
                threading.Thread(target=self._stand_up, args=(stack, stack.endpoint), name=stack.spec.key).start()
        return _result(stack.endpoint)

    def _stand_up(self, stack: _Stack, endpoint: Future[Endpoint]) -> None:
        began = time.monotonic()
        try:
            deployment = self._factories[stack.spec.deploy](stack.spec, self._say)
            stack.deployment = deployment
            self._say(f"stack {stack.spec.key}: standing up")
            answer = deployment.up()
        except BaseException as error:  # whatever a deployment raises is the answer to everyone who waits
            stack.error = str(error) or repr(error)
            endpoint.set_exception(error if isinstance(error, LlmdError) else StandupError(f"{stack.spec.key}: {error!r}"))
            return
        stack.standup_s = time.monotonic() - began
        self._say(f"stack {stack.spec.key}: up after {stack.standup_s:.1f} s")
        endpoint.set_result(answer)

    def _start_down(self, stack: _Stack) -> Future[None] | None:
        if stack.endpoint is not None and stack.down is None:
            stack.down = Future()
            threading.Thread(target=self._take_down, args=(stack, stack.down), name=stack.spec.key).start()
        return stack.down

    def _take_down(self, stack: _Stack, ending: Future[None]) -> None:
        assert stack.endpoint is not None
        stack.endpoint.exception()  # a standup under way ends first: only then is all that it started known
        began = time.monotonic()
        try:
            if stack.deployment is not None:
                stack.deployment.down()
        except Exception as error:  # remembered for the report, and the others are taken down all the same
            stack.error = f"it could not be taken down: {error}"
        stack.teardown_s = time.monotonic() - began
        with self._changed:
            if self._free is not None:
                self._free += 1
            self._changed.notify_all()
        ending.set_result(None)

    def _deployment(self, key: str) -> Deployment:
        deployment = self._stacks[key].deployment
        assert deployment is not None, key
        return deployment

    def _wait(self, until: Any) -> None:
        while not until():
            self._changed.wait(_TICK_S)


def _result(future: Future[Any]) -> Any:
    """A future's result, waited for in ticks: a plain wait in the main thread would not hear Ctrl-C everywhere."""
    while True:
        try:
            return future.result(_TICK_S)
        except TimeoutError:
            if future.done():
                return future.result()
