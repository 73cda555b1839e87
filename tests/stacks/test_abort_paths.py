"""However a run ends, nothing that it started is left: real processes, real signals, at random moments."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.plugin.conftest import project

__all__ = ["project"]  # a fixture of the neighbouring folder

WORKERS = [pytest.param((), id="alone"), pytest.param(("-n", "2"), id="xdist")]
#: Seconds into the run at which something is killed; the same in every run of the tests.
MOMENTS = random.Random(20261123)


def children_of(root: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(root).children(recursive=True)
    return []


class Session:
    """One pytest session as a process of its own, and every process that was ever seen below it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "session.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
                cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.seen: dict[int, psutil.Process] = {}

    def look(self) -> list[psutil.Process]:
        found = children_of(self.process.pid)
        self.seen.update({process.pid: process for process in found})
        return found

    def wait_for(self, words: str, count: int = 1) -> None:
        """Until some process below has these words in its command line, in so many processes."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if sum(words in " ".join(_command(process)) for process in self.look()) >= count:
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)
        raise AssertionError(f"no process with {words!r}:\n{self.log.read_text()}")

    def end(self) -> None:
        """Wait for the session's own end, then for the end of everything below it."""
        deadline = time.monotonic() + 90
        while self.process.poll() is None and time.monotonic() < deadline:
            self.look()
            time.sleep(0.05)
        assert self.process.poll() is not None, self.log.read_text()
        while left := [process for process in self.seen.values() if _lives(process)]:
            assert time.monotonic() < deadline, [" ".join(_command(process)) for process in left]
            time.sleep(0.02)


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        # A zombie has ended; an init that collects it now and then is not waited for.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def start(project: pytest.Pytester) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def make(*arguments: str) -> Session:
        sessions.append(Session(project.path, *arguments))
        return sessions[-1]

    yield make
    for session in sessions:
        for process in [*session.seen.values(), *children_of(session.process.pid)]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ProcessLookupError):
            session.process.kill()
        session.process.wait()


SIMULATOR, LOAD = "pytest_llmdbench.simulator", "quick_load.py"


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_signal_to_the_controller_in_the_middle_of_a_load_leaves_nothing(
    start: Callable[..., Session], workers: tuple[str, ...], number: signal.Signals
) -> None:
    session = start("--scenario=one,two", "--llmd-workload=long", *workers)
    session.wait_for(LOAD, count=2 if workers else 1)
    os.kill(session.process.pid, number)
    session.end()
    if number != signal.SIGKILL:
        assert session.process.returncode == pytest.ExitCode.INTERRUPTED
        assert "llmdbench ==" in session.log.read_text(), "the summary is written all the same"


@pytest.mark.parametrize("workers", WORKERS)
def test_ctrl_c_in_a_terminal_reaches_the_whole_group_and_leaves_nothing(
    start: Callable[..., Session], workers: tuple[str, ...]
) -> None:
    session = start("--scenario=one,two", "--llmd-workload=long", *workers)
    session.wait_for(LOAD, count=2 if workers else 1)
    os.killpg(session.process.pid, signal.SIGINT)
    session.end()
    assert session.process.returncode == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("after", [round(MOMENTS.uniform(0.2, 3.0), 2) for _ in range(4)])
def test_a_kill_of_the_controller_at_a_random_moment_leaves_nothing(
    start: Callable[..., Session], workers: tuple[str, ...], after: float
) -> None:
    session = start("--scenario=one,two", "--llmd-workload=long", *workers)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        session.look()
        time.sleep(0.02)
    os.kill(session.process.pid, signal.SIGKILL)
    session.end()


@pytest.mark.parametrize("workers", WORKERS)
def test_a_kill_while_a_stack_stands_up_leaves_nothing(start: Callable[..., Session], workers: tuple[str, ...]) -> None:
    session = start("--scenario=one,two", "--llmd-workload=long", "--llmd-set=simulator.faults.startup_s=20", *workers)
    session.wait_for(SIMULATOR)
    os.kill(session.process.pid, signal.SIGKILL)
    session.end()


def test_ctrl_c_while_a_stack_stands_up_leaves_nothing(start: Callable[..., Session]) -> None:
    session = start("--scenario=one", "--llmd-workload=long", "--llmd-set=simulator.faults.startup_s=3")
    session.wait_for(SIMULATOR)
    os.kill(session.process.pid, signal.SIGINT)
    session.end()
    assert session.process.returncode == pytest.ExitCode.INTERRUPTED


def test_a_second_ctrl_c_while_stacks_are_taken_down_leaves_nothing(start: Callable[..., Session]) -> None:
    session = start("--scenario=one", "--llmd-workload=long", "--llmd-set=simulator.faults.startup_s=4")
    session.wait_for(SIMULATOR)
    for _ in range(3):
        os.kill(session.process.pid, signal.SIGINT)
        time.sleep(0.5)
    session.end()


def test_a_killed_worker_fails_its_case_and_the_stack_serves_the_next_one(
    project: pytest.Pytester, start: Callable[..., Session]
) -> None:
    session = start("--scenario=one", "--llmd-workload=long,short", "-n", "2")
    session.wait_for(LOAD)
    (load,) = (process for process in session.look() if LOAD in " ".join(_command(process)))
    worker = load.parent()
    assert worker is not None
    worker.kill()
    session.end()
    said = session.log.read_text()
    assert "crashed while running" in said
    assert "one-quick-load-short" in said
    assert said.count("standing up") == 1
    assert "1 passed, 1 error" in said


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
@pytest.mark.parametrize("workers", WORKERS)
def test_stopping_at_the_first_failure_leaves_nothing(
    project: pytest.Pytester, start: Callable[..., Session], workers: tuple[str, ...], option: str
) -> None:
    session = start("--scenario=one,two", "--llmd-workload=short,long", "--llmd-slo=e2e.max<=1us",
                    "--llmd-overrides=requests=3", option, *workers)  # fmt: skip
    session.end()
    assert session.process.returncode in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
