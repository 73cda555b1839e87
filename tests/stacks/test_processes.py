"""Guarded processes and the reaper: nothing is left, whoever dies. Real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from pytest_llmdbench.stacks import processes
from pytest_llmdbench.stacks.reaper import Reaper

SLEEP = "import time; time.sleep(300)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)"
)
SOON_S = 30.0


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A mark of this test's own; what carries it afterwards is ended."""
    monkeypatch.delenv(processes.WORKER, raising=False)
    monkeypatch.setenv(processes.MARK, "replaced at once")
    made = processes.new_mark()
    yield made
    processes.end_all(made, grace=0.1)


def python(code: str, **env: str) -> subprocess.Popen[bytes]:
    return processes.start([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.readline().decode().strip()


def pids(token: str, worker: str | None = None) -> set[int]:
    return {process.pid for process in processes.survivors(token, worker)}


def wait_until_nothing_is_left(token: str) -> None:
    deadline = time.monotonic() + SOON_S
    while left := processes.survivors(token):
        assert time.monotonic() < deadline, [process.cmdline() for process in left]
        time.sleep(0.05)


def test_a_child_and_its_children_carry_the_mark_and_end_together(token: str) -> None:
    with python(
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid); input()"
    ) as one:
        one.wait(SOON_S)  # it has nothing to read: its child is left alone
        child = int(first_line(one))
        assert child in pids(token)
        processes.end(one)
    assert pids(token) == set()


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(token: str) -> None:
    with python(STUBBORN) as child:
        assert first_line(child) == "ready"
        processes.end(child, grace=0.2)
        assert child.returncode == -signal.SIGKILL


def test_a_child_has_a_group_of_its_own_so_ctrl_c_does_not_reach_it(token: str) -> None:
    with python(SLEEP) as child:
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        processes.end(child)
        processes.end(child)  # and once more does no harm
        assert child.returncode == -signal.SIGTERM


def test_a_child_cannot_take_its_mark_off(token: str) -> None:
    with python(SLEEP, **{processes.MARK: "another"}) as child:
        assert pids(token) == {child.pid}
        processes.end(child)


def test_only_what_one_worker_left_is_found_when_it_is_named(token: str) -> None:
    with python(SLEEP, **{processes.WORKER: "gw0"}) as its, python(SLEEP, **{processes.WORKER: "gw1"}) as others:
        assert pids(token, "gw0") == {its.pid}
        assert [str(its.pid)] == [line.split(":")[0] for line in processes.end_all(token, "gw0")]
        assert pids(token) == {others.pid}
        processes.end(others)


def test_what_was_started_with_an_empty_environment_is_found_below_its_parent(token: str) -> None:
    child_of = f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}}).pid"
    with python(f"import subprocess, sys, time; print({child_of}, flush=True); time.sleep(300)") as parent:
        child = int(first_line(parent))
        assert pids(token) == {parent.pid, child}
        processes.end_all(token, grace=0.5)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_other_runs_processes_are_left_alone(token: str) -> None:
    other = subprocess.Popen([sys.executable, "-c", SLEEP], env={**os.environ, processes.MARK: "another run"})
    try:
        processes.end_all(token)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_in_an_orderly_end_the_reaper_just_goes(token: str) -> None:
    assert Reaper().done() == []


def test_in_an_orderly_end_the_reaper_says_what_was_left_and_ends_it(token: str) -> None:
    reaper = Reaper()
    with python(SLEEP) as forgotten:
        assert [line.split(":")[0] for line in reaper.done()] == [str(forgotten.pid)]
        assert forgotten.wait(SOON_S) == -signal.SIGTERM


def test_without_its_reaper_the_run_looks_itself(token: str) -> None:
    reaper = Reaper()
    with python(SLEEP) as forgotten:
        os.kill(reaper._process.pid, signal.SIGKILL)
        assert len(reaper.done()) == 1
        assert forgotten.wait(SOON_S) == -signal.SIGTERM


#: A run that has a reaper and a guarded process, and says so, when it has done what it is given.
RUN = f"""
import os, subprocess, sys, time
from pytest_llmdbench.stacks import processes
from pytest_llmdbench.stacks.reaper import Reaper
token = processes.new_mark()
reaper = Reaper()
processes.start([sys.executable, "-c", {SLEEP!r}])
{{then}}
print(token, reaper._process.pid, flush=True)
time.sleep(300)
"""


def a_run(then: str = "") -> tuple[subprocess.Popen[bytes], str, psutil.Process]:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN.format(then=then)], stdout=subprocess.PIPE, start_new_session=True
    )
    token, reaper = first_line(run).split()
    return run, token, psutil.Process(int(reaper))


def wait_for_the_end_of(process: psutil.Process) -> None:
    deadline = time.monotonic() + SOON_S
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_after_sigkill_of_the_run_the_reaper_ends_everything_and_goes() -> None:
    run, token, reaper = a_run(f"processes.start([sys.executable, '-c', {STUBBORN!r}], stdout=subprocess.DEVNULL)")
    run.kill()
    run.wait()
    wait_until_nothing_is_left(token)
    wait_for_the_end_of(reaper)


def test_signals_that_end_a_terminals_programs_do_not_end_the_reaper() -> None:
    run, token, reaper = a_run()
    time.sleep(0.5)  # an interpreter that is still starting dies of them like any other
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        reaper.send_signal(number)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    wait_until_nothing_is_left(token)
    wait_for_the_end_of(reaper)


def test_a_forked_child_that_keeps_the_pipe_open_does_not_keep_the_reaper_waiting() -> None:
    # The child has no mark of its own, for it was not started but copied: it is not the run's to end.
    run, token, reaper = a_run(then="if os.fork() == 0: time.sleep(10); os._exit(0)")
    run.kill()
    run.wait()
    wait_until_nothing_is_left(token)
    wait_for_the_end_of(reaper)


def test_the_reaper_starts_without_what_it_needs_only_at_the_end() -> None:
    heavy = "{'psutil', 'pytest', 'multiprocessing'}"
    code = f"import sys, pytest_llmdbench.stacks.reaper; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
