"""The pytest side of stacks: the controller owns them; xdist workers borrow them, or the controller itself."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

if TYPE_CHECKING:
    from pytest_llmdbench.stacks.broker import Broker, RemotePool
    from pytest_llmdbench.stacks.deployment import DeploymentFactory
    from pytest_llmdbench.stacks.pool import StackPool
    from pytest_llmdbench.stacks.reaper import Reaper

#: The stack that an item needs; set while items are collected.
STACK_KEY: pytest.StashKey[StackSpec] = pytest.StashKey()
_SOURCE: pytest.StashKey[StackOwner | StackBorrower] = pytest.StashKey()
#: The borrower's name where tests run in the owning process.
_MYSELF: Final = "main"
#: How often the lines of a standup or a teardown are shown, in seconds.
_SHOW_S: Final = 0.2
_PATIENCE: Final = b"\nllmdbench: taking stacks down; once more leaves it to the reaper and to the cluster\n"


def configure(
    config: pytest.Config, deployments: Callable[[], Mapping[str, DeploymentFactory]], max_stacks: int | None
) -> None:
    """Make this process an owner of stacks, or a borrower if it is an xdist worker.

    ``deployments`` is called when the first stack is needed; ``max_stacks`` bounds how many are up at once.
    """
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_SOURCE] = StackBorrower(worker["llmd_broker"], worker["workerid"])
        config.pluginmanager.register(config.stash[_SOURCE], "llmdbench-stacks")
        return
    owner = StackOwner(config, deployments, max_stacks)
    config.stash[_SOURCE] = owner
    config.pluginmanager.register(owner, "llmdbench-stacks")
    if config.getoption("dist", "no") != "no" and config.getoption("tx", None) and not config.getoption("collectonly"):
        config.pluginmanager.register(XdistOwner(owner), "llmdbench-xdist")


def stacks_of(config: pytest.Config) -> StackOwner | StackBorrower:
    """What this process borrows stacks from."""
    return config.stash[_SOURCE]


class StackOwner:
    """The process that outlives the workers; tests may run in it as well."""

    def __init__(
        self, config: pytest.Config, deployments: Callable[[], Mapping[str, DeploymentFactory]], max_stacks: int | None
    ) -> None:
        self._config = config
        self._deployments = deployments
        self._max_stacks = max_stacks
        self._pool: StackPool | None = None
        self._reaper: Reaper | None = None
        self._broker: Broker | None = None
        self._printing = threading.Lock()
        #: Lines of other threads, until this one can show them.
        self._lines: deque[str] = deque()
        #: The cases of this process, until the first of them needs a stack.
        self._planned: dict[str, StackSpec] = {}
        #: Whether somebody did not want to wait for the end.
        self._abandoned = False
        self._before: Any = None
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            # SIGTERM becomes what Ctrl-C is: an orderly end.
            self._before = signal.signal(signal.SIGTERM, _interrupt)

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
        return self._broker

    def acquire(self, spec: StackSpec) -> Endpoint:
        """Borrow a stack for a test in this process. Raises StandupError."""
        while (endpoint := self.pool.try_acquire(spec.key, _MYSELF, _SHOW_S)) is None:
            self._show()
        self._show()
        return endpoint

    def release(self, key: str) -> None:
        """Give it back."""
        self.pool.release(key, _MYSELF)

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

    def records(self) -> list[dict[str, Any]]:
        """What there is to say of each stack that was stood up."""
        return self._pool.records() if self._pool else []

    def say(self, line: str) -> None:
        """Show one line, past pytest's capturing.

        Where tests run in this process, another thread's line waits for the main thread: shown at once it would end up
        in what the running test prints.
        """
        self._lines.append(line)
        if self._broker is not None or threading.current_thread() is threading.main_thread():
            self._show()

    def _show(self) -> None:
        if not self._lines:
            return
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        capture: Any = self._config.pluginmanager.get_plugin("capturemanager")
        # Under xdist nothing is captured in the controller, and any thread may come here.
        captured = capture is not None and self._broker is None
        with self._printing, capture.global_and_fixture_disabled() if captured else contextlib.nullcontext():
            while self._lines:
                line = self._lines.popleft()
                if terminal is not None:
                    terminal.ensure_newline()
                    # Under xdist the reporter forgets that it is in the middle of a line of dots.
                    if self._config.get_terminal_writer().width_of_current_line:
                        terminal.write_line("")
                    terminal.write_line(line)
                    terminal.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan the stacks of the tests that run in this process."""
        self._planned = _cases(session)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over, here or in a worker."""
        self._planned.pop(nodeid, None)
        if self._pool:
            self._pool.finish(nodeid)
            self._show()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, object, object]:
        """Take down what is left, after xdist has ended its workers and before the summary."""
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
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _end(self) -> None:
        """Take all stacks down and wait for it, then have the reaper make sure that nothing is left."""
        if self._pool is None or self._reaper is None or self._abandoned:
            return
        from pytest_llmdbench.stacks.processes import MARK

        try:
            with _patiently():
                if self._broker is not None:
                    self._broker.close()
                while not self._pool.close(_SHOW_S):
                    self._show()
                self._show()
                left = self._reaper.done()
        except KeyboardInterrupt:
            # The pipe to the reaper ends with this process.
            self._abandoned = True
            raise
        self._reaper = None
        os.environ.pop(MARK, None)
        for line in left:
            self.say(f"llmdbench: this was left running, and is ended now: {line}")


class XdistOwner:
    """What only xdist's controller needs: workers are told where the pool is, and run whole stacks."""

    def __init__(self, owner: StackOwner) -> None:
        self._owner = owner

    def pytest_xdist_setupnodes(self) -> None:
        """Be ready before the first worker starts: it has to inherit the run's mark."""
        _ = self._owner.broker

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where to borrow."""
        node.workerinput["llmd_broker"] = self._owner.broker.address

    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has ended, or died."""
        self._owner.broker.gone(node.gateway.id)

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> Any:
        """All cases of one stack go to one worker, whatever ``--dist`` says."""
        from xdist.workermanage import parse_tx_spec_config

        from pytest_llmdbench.stacks.scheduler import StackScheduling

        return StackScheduling(len(parse_tx_spec_config(config)), self._owner.pool.stack_of)

    @pytest.hookimpl(tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A case whose worker died is over."""
        report.when = "teardown"  # a phase that reporters know; "???" is dropped by pytest-html
        self._owner.pytest_runtest_logfinish(crashitem)


class StackBorrower:
    """An xdist worker: asks the controller for what it needs."""

    def __init__(self, address: dict[str, str], worker: str) -> None:
        self._address = address
        self._worker = worker
        self._remote: RemotePool | None = None

    @property
    def remote(self) -> RemotePool:
        """The connection to the controller, made on first use."""
        if self._remote is None:
            from pytest_llmdbench.stacks.broker import RemotePool

            self._remote = RemotePool(self._address, self._worker)
        return self._remote

    def acquire(self, spec: StackSpec) -> Endpoint:
        """Borrow a stack. Raises StandupError."""
        return self.remote.acquire(spec.key)

    def release(self, key: str) -> None:
        """Give it back."""
        self.remote.release(key)

    def reset(self, key: str) -> str | None:
        """Bring a borrowed stack to the state that every run starts from; gives what of it could not be done."""
        return self.remote.reset(key)

    def scrape(self, key: str, interval_s: float, folder: Path) -> None:
        """Read the metrics of a borrowed stack's servers until :meth:`observe`, every so many seconds."""
        self.remote.scrape(key, interval_s, folder)

    def so_far(self, key: str) -> Mapping[str, Any]:
        """What a borrowed stack's servers have counted of single requests' times, while they are scraped."""
        return self.remote.so_far(key)

    def observe(self, key: str) -> Mapping[str, Any]:
        """What a borrowed stack says of itself since the last reset."""
        return self.remote.observe(key)

    def trouble(self, key: str) -> str | None:
        """What has happened to a borrowed stack that spoils a load."""
        return self.remote.trouble(key)

    def say(self, line: str) -> None:
        """Show one line on the controller's terminal."""
        self.remote.say(line)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Tell the controller which test needs which stack, before xdist tells it that the tests are there."""
        cases = _cases(session)
        if cases:
            self.remote.plan(cases)


def _cases(session: pytest.Session) -> dict[str, StackSpec]:
    """Node id -> stack, of all collected tests that need one."""
    return {item.nodeid: item.stash[STACK_KEY] for item in session.items if STACK_KEY in item.stash}


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt("SIGTERM")


@contextlib.contextmanager
def _patiently() -> Iterator[None]:
    """Answer the first Ctrl-C or SIGTERM with a line and go on; only the second gets through."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def answer(number: int, _: object) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt
        os.write(2, _PATIENCE)

    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
