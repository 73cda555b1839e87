"""The pytest side of stacks: who owns them (the controller) and who borrows them (xdist workers, or the same process)."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
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


def configure(
    config: pytest.Config, deployments: Callable[[], Mapping[str, DeploymentFactory]], max_stacks: int | None
) -> None:
    """Make this process an owner of stacks, or a borrower if it is an xdist worker."""
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_SOURCE] = StackBorrower(worker["llmd_broker"], worker["workerid"])
        config.pluginmanager.register(config.stash[_SOURCE], "llmdbench-stacks")
        return
    owner = StackOwner(config, deployments, max_stacks)
    config.stash[_SOURCE] = owner
    config.pluginmanager.register(owner, "llmdbench-stacks")
    if config.pluginmanager.has_plugin("xdist"):
        config.pluginmanager.register(XdistOwner(owner, max_stacks), "llmdbench-xdist")


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
        self._before: Any = None
        self._lines = threading.Lock()
        #: The cases of this process, until the first of them needs a stack.
        self._planned: dict[str, StackSpec] = {}

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

    def acquire(self, spec: StackSpec) -> Endpoint:
        """Borrow a stack for a test in this process. Raises StandupError."""
        return self.pool.acquire(spec.key, _MYSELF)

    def release(self, key: str) -> None:
        """Give it back."""
        self.pool.release(key, _MYSELF)

    def reset(self, key: str) -> None:
        """Bring a borrowed stack to the state that every run starts from."""
        self.pool.reset(key)

    def observe(self, key: str) -> Mapping[str, Any]:
        """What a borrowed stack says of itself since the last reset."""
        return self.pool.observe(key)

    def records(self) -> list[dict[str, Any]]:
        """What there is to say of each stack that was stood up."""
        return self._pool.records() if self._pool else []

    def say(self, line: str) -> None:
        """Show one line at once, past pytest's capturing.

        Other threads may call it only while the main thread waits for them: a test that runs would lose its output.
        """
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None:
            return
        with self._lines, self._uncaptured():
            terminal.ensure_newline()
            terminal.write_line(line)
            terminal.flush()

    @contextlib.contextmanager
    def _uncaptured(self) -> Iterator[None]:
        capture: Any = self._config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """SIGTERM becomes what Ctrl-C is: an orderly end."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, _interrupt)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan the stacks of the tests that run in this process."""
        self._planned = _cases(session)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over, here or in a worker."""
        self._planned.pop(nodeid, None)
        if self._pool:
            self._pool.finish(nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Take down what is left, after xdist has ended its workers."""
        self.close()

    def pytest_unconfigure(self) -> None:
        """The same for a session that never got so far."""
        self.close()
        if self._reaper:
            self._reaper.done()
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def close(self) -> None:
        """Take all stacks down and wait for it; Ctrl-C meanwhile is told so and does not stop it."""
        if self._pool is None:
            return
        while True:
            try:
                return self._pool.close()
            except KeyboardInterrupt:
                self.say("llmdbench: taking stacks down; it ends by itself")


class XdistOwner:
    """What only xdist's controller needs: workers are told where the pool is, and run whole stacks."""

    def __init__(self, owner: StackOwner, max_stacks: int | None) -> None:
        self._owner = owner
        self._max_stacks = max_stacks
        self._broker: Broker | None = None

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where to borrow."""
        if self._broker is None:
            from pytest_llmdbench.stacks.broker import Broker

            self._broker = Broker(self._owner.pool, self._owner.say)
        node.workerinput["llmd_broker"] = self._broker.address

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> Any:
        """All cases of one stack go to one worker, whatever ``--dist`` says."""
        from xdist.workermanage import parse_tx_spec_config

        from pytest_llmdbench.stacks.scheduler import StackScheduling

        return StackScheduling(len(parse_tx_spec_config(config)), self._owner.pool.stack_of)

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_auto_num_workers(self) -> int | None:
        """``-n auto`` is as many workers as stacks may be up."""
        return self._max_stacks

    @pytest.hookimpl(tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A case whose worker died is over."""
        report.when = "teardown"  # a phase that reporters know; "???" is dropped by pytest-html
        self._owner.pool.finish(crashitem)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Workers have gone."""
        if self._broker:
            self._broker.close()


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

    def reset(self, key: str) -> None:
        """Bring a borrowed stack to the state that every run starts from."""
        self.remote.reset(key)

    def observe(self, key: str) -> Mapping[str, Any]:
        """What a borrowed stack says of itself since the last reset."""
        return self.remote.observe(key)

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

