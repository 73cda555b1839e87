"""Whole sessions with stacks that are real processes: who stands up what, who borrows it, and what is left."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

SOON_S = 60.0

#: A plugin as small as can be: a test named ``[<stack>-<number>]`` needs that stack, and every step is written down.
CONFTEST = '''
import os, sys, time
import pytest
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks import ownership, processes
from pytest_llmdbench.stacks.source import STACK_KEY
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

def note(line):
    with open(os.environ["EVENTS"], "a") as events:
        events.write(line + "\\n")

class Sleeper:
    """A stack: one process, in whose command line the test looks for the folder's name."""
    def __init__(self, spec, say):
        self.key, self.say, self.process = spec.key, say, None
    def up(self):
        note(f"rising {self.key}")
        self.process = processes.start([sys.executable, "-c", "import time; time.sleep(300)", os.environ["EVENTS"]])
        self.say(f"stack {self.key}: loading weights")
        time.sleep(float(os.environ.get("UP_S", 0.05)))
        if self.key == "broken":
            raise StandupError("stack broken: no GPU is free")
        note(f"up {self.key}")
        return Endpoint(f"http://{self.key}", "m", "t")
    def reset(self):
        note(f"reset {self.key}")
    def observe(self):
        return {"key": self.key}
    def down(self):
        note(f"falling {self.key}")
        time.sleep(float(os.environ.get("DOWN_S", 0.05)))
        processes.end(self.process)
        note(f"down {self.key}")

def pytest_addoption(parser):
    parser.addoption("--max-stacks", type=int)

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    ownership.configure(config, lambda: {"sleeper": Sleeper}, config.getoption("max_stacks"))

def pytest_collection_modifyitems(items):
    for item in items:
        if "key" in getattr(item, "fixturenames", ()):
            item.stash[STACK_KEY] = StackSpec(item.callspec.params["key"], "sleeper", {})

@pytest.fixture
def stack(request, key):
    source = ownership.stacks_of(request.config)
    endpoint = source.acquire(request.node.stash[STACK_KEY])
    note(f"begin {key}")
    source.reset(key)
    yield endpoint
    assert source.observe(key) == {"key": key}
    source.say(f"load on {key} is over")
    note(f"end {key}")
    source.release(key)

def pytest_keyboard_interrupt():
    note("told interrupt")
    time.sleep(float(os.environ.get("TELL_S", 0)))

def pytest_terminal_summary(terminalreporter, config):
    for record in ownership.stacks_of(config).records():
        terminalreporter.write_line(f"record {record['key']}: {record['uses']} uses, {record['error']}")
'''

#: The cases; ``{body}`` is what each of them does.
TESTS = """
import os, signal, sys, time
import pytest
from pytest_llmdbench.stacks import processes

@pytest.mark.parametrize(("key", "number"), [{cases}])
def test_case(stack, key, number):
    print("said by", key)
    load = processes.start([sys.executable, "-c", "import time; time.sleep(300)", os.environ["EVENTS"]])
    {body}
    processes.end(load)

def test_that_needs_no_stack():
    pass
"""


class Project:
    """A folder of tests, the sessions in it and the processes that they leave."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester = pytester
        self.events_file = pytester.path / "events.txt"
        monkeypatch.setenv("EVENTS", str(self.events_file))
        for name in ("LLMDBENCH_GUARD", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"):
            monkeypatch.delenv(name, raising=False)
        pytester.makeconftest(CONFTEST)

    def cases(self, cases: str, body: str = "time.sleep(0.02)") -> None:
        parts = ", ".join(repr((name[:-1], name[-1])) for name in cases.split())
        self.pytester.makepyfile(TESTS.format(cases=parts, body=body))

    def run(self, *arguments: str) -> pytest.RunResult:
        result = self.pytester.runpytest_subprocess(*arguments, timeout=SOON_S)
        self.check()
        return result

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.pytester.path / "session.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "pytest", *arguments],
                cwd=self.pytester.path,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return (self.pytester.path / "session.log").read_text()

    @property
    def events(self) -> list[str]:
        return self.events_file.read_text().splitlines() if self.events_file.exists() else []

    def wait_for(self, session: subprocess.Popen[bytes], event: str) -> None:
        deadline = time.monotonic() + SOON_S
        while event not in self.events:
            assert session.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.005)

    def end(self, session: subprocess.Popen[bytes]) -> None:
        try:
            session.wait(SOON_S)
        finally:
            session.kill()
            session.wait()
        self.check()

    def check(self) -> None:
        """Nothing is left running, no stack came up twice, and never had a stack two loads."""
        deadline = time.monotonic() + SOON_S
        while left := list(self.left()):
            assert time.monotonic() < deadline, [process.cmdline() for process in left]
            time.sleep(0.05)
        loads: dict[str, int] = {}
        for event in self.events:
            what, key = event.split()
            loads[key] = loads.get(key, 0) + {"begin": 1, "end": -1}.get(what, 0)
            assert loads[key] <= 1, self.events
        for event in {event for event in self.events if event.startswith("rising")}:
            assert self.events.count(event) == 1, self.events

    def left(self) -> Iterator[psutil.Process]:
        mine = str(self.pytester.path)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                if any(mine in word for word in process.cmdline()) or process.cwd().startswith(mine):
                    yield process


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project = Project(pytester, monkeypatch)
    yield project
    for process in project.left():
        with contextlib.suppress(psutil.Error):
            process.kill()


EVERYWHERE = pytest.mark.parametrize("workers", ["-pno:xdist", "-n0", "-n2"])
HERE_AND_THERE = pytest.mark.parametrize("workers", ["-n0", "-n2"])


@EVERYWHERE
def test_each_stack_comes_up_once_and_goes_down_after_its_last_case(project: Project, workers: str) -> None:
    project.cases("a1 a2 a3 b1 b2")
    result = project.run(workers)
    result.assert_outcomes(passed=6)
    for key in "ab":
        mine = [event for event in project.events if event.endswith(f" {key}")]
        cases = ["begin", "reset", "end"] * (3 if key == "a" else 2)
        assert [event.split()[0] for event in mine] == ["rising", "up", *cases, "falling", "down"]
    result.stdout.fnmatch_lines_random(["record a: 3 uses, None", "record b: 2 uses, None"])
    if workers != "-n2":
        assert project.events.index("falling a") < project.events.index("begin b"), "not at the end of the session"


def test_two_scenarios_run_side_by_side_with_two_workers(project: Project) -> None:
    # Each case ends only when the other stack is up, too: one after the other would never end.
    body = """while not {"up a", "up b"} <= set(open(os.environ["EVENTS"]).read().splitlines()): time.sleep(0.01)"""
    project.cases("a1 a2 b1 b2", body)
    project.run("-n2").assert_outcomes(passed=5)


@pytest.mark.parametrize("dist", ["loadgroup", "worksteal"])
def test_a_stack_is_one_workers_whatever_dist_says(project: Project, dist: str) -> None:
    project.cases("a1 b1 a2 b2", "print('worker', os.environ['PYTEST_XDIST_WORKER'], key)")
    result = project.run("-n2", f"--dist={dist}", "-rP")
    result.assert_outcomes(passed=5)
    pairs = set(re.findall(r"worker (gw\d) (\w)", result.stdout.str()))
    assert len(pairs) == 2, pairs
    assert "@" not in result.stdout.str()


@EVERYWHERE
def test_lines_about_a_stack_are_shown_live_and_not_in_a_tests_output(project: Project, workers: str) -> None:
    project.cases("a1", "assert False, 'so that its output is shown'")
    result = project.run(workers)
    result.assert_outcomes(failed=1, passed=1)
    said, failures = result.stdout.str().split("= FAILURES =", 1)
    for line in ("standing up", "loading weights", "up after"):
        assert f"stack a: {line}" in said
        assert line not in failures
    assert "load on a is over" in said
    assert "said by a" in failures


@HERE_AND_THERE
def test_a_failed_standup_is_one_standup_and_an_error_for_each_case(project: Project, workers: str) -> None:
    project.cases("broken1 broken2 broken3 a1")
    result = project.run(workers)
    result.assert_outcomes(errors=3, passed=2)
    assert project.events.count("down broken") == 1
    result.stdout.fnmatch_lines(["record broken: 0 uses, stack broken: no GPU is free"])


@HERE_AND_THERE
def test_deselected_and_collected_only_cases_need_no_stack(project: Project, workers: str) -> None:
    project.cases("a1 b1")
    project.run(workers, "-k", "needs_no").assert_outcomes(passed=1)
    project.run(workers, "--collect-only")
    assert project.events == []
    project.run(workers, "-k", "b1 or b-1").assert_outcomes(passed=1)
    assert [event for event in project.events if event.endswith(" a")] == []


@HERE_AND_THERE
def test_no_more_stacks_are_up_than_allowed(project: Project, workers: str) -> None:
    project.cases("a1 a2 b1 b2 c1 c2")
    project.run(workers, "--max-stacks=1").assert_outcomes(passed=7)
    up = 0
    for event in project.events:
        up += {"rising": 1, "down": -1}.get(event.split()[0], 0)
        assert up <= 1


def test_without_a_terminal_reporter_everything_works(project: Project) -> None:
    project.cases("a1")
    assert project.run("-p", "no:terminal").ret == 0
    assert "down a" in project.events


def test_a_failure_with_workers_is_found_by_lf_without_them(project: Project) -> None:
    project.cases("a1 a2 b1", "assert number != '2'")
    project.run("-n2").assert_outcomes(failed=1, passed=3)
    project.events_file.unlink()
    project.run("-n0", "--lf").assert_outcomes(failed=1)


@pytest.mark.parametrize(("number", "end"), [("1", "os._exit(1)"), ("3", "os.kill(os.getpid(), signal.SIGKILL)")])
def test_a_crashed_worker_fails_its_case_and_the_stack_serves_the_others(
    project: Project, number: str, end: str
) -> None:
    project.cases("a1 a2 a3", f"number == {number!r} and note_end(key) or number == {number!r} and {end}")
    # The case ends with its worker: what counts two loads on one stack has to know.
    tests = next(project.pytester.path.glob("test_*.py"))
    tests.write_text(
        tests.read_text() + "\ndef note_end(key):\n    open(os.environ['EVENTS'], 'a').write(f'end {key}\\n')\n"
    )
    result = project.run("-n2", "-rA", "--junitxml=junit.xml")
    result.stdout.fnmatch_lines(["*worker 'gw*' crashed while running*"])
    result.stdout.fnmatch_lines(["*3 passed, 1 error*"])
    assert (project.pytester.path / "junit.xml").read_text().count("<testcase") == 4
    assert project.events.count("falling a") == 1


def test_a_crash_without_replacement_leaves_nothing(project: Project) -> None:
    project.cases("a1 b1", "key == 'a' and os._exit(1)")
    result = project.run("-n2", "--max-worker-restart=0")
    assert result.ret != 0


@HERE_AND_THERE
def test_stopping_early_leaves_nothing(project: Project, workers: str) -> None:
    project.cases("a1 a2 a3 b1 b2 b3", "assert False")
    result = project.run(workers, "--maxfail=2")
    assert result.parseoutcomes()["failed"] < 6
    assert {event for event in project.events if event.startswith("falling")} >= {"falling a"}


#: What ends the controller, after which event and how many seconds more; the same in every run of these tests.
_RANDOM = random.Random(7)
ENDS = [
    pytest.param(number, event, round(_RANDOM.uniform(0.0, 0.15), 3), id=f"{number.name}-{event.split()[0]}")
    for number, event in (
        (signal.SIGINT, "rising a"),
        (signal.SIGKILL, "rising a"),
        (signal.SIGTERM, "begin a"),
        (signal.SIGINT, "falling a"),
        (signal.SIGKILL, "falling a"),
    )
]


@HERE_AND_THERE
@pytest.mark.parametrize(("number", "event", "after"), ENDS)
def test_whatever_ends_the_controller_and_whenever_nothing_is_left(
    project: Project, monkeypatch: pytest.MonkeyPatch, workers: str, number: signal.Signals, event: str, after: float
) -> None:
    monkeypatch.setenv("UP_S", "0.3")
    monkeypatch.setenv("DOWN_S", "0.3")
    project.cases("a1 b1", "time.sleep(0.3 if key == 'a' else 0.6)")
    session = project.start(workers)
    project.wait_for(session, event)
    time.sleep(after)
    os.kill(session.pid, number)
    project.end(session)
    if number != signal.SIGKILL:
        assert session.returncode == pytest.ExitCode.INTERRUPTED, project.log
        began, ended = (
            {event.split()[1] for event in project.events if event.startswith(what)} for what in ("rising", "down")
        )
        assert began == ended
        assert "record a:" in project.log


def test_the_load_of_every_worker_ends_with_a_killed_controller(project: Project) -> None:
    project.cases("a1 b1", "open(os.environ['EVENTS'], 'a').write(f'loading {key}\\n'); time.sleep(60)")
    session = project.start("-n2")
    for event in ("loading a", "loading b"):
        project.wait_for(session, event)
    session.kill()
    project.end(session)


@HERE_AND_THERE
def test_ctrl_c_in_the_terminal_reaches_everybody_and_leaves_nothing(project: Project, workers: str) -> None:
    project.cases("a1 b1", "time.sleep(5)")
    session = project.start(workers)
    project.wait_for(session, "begin a")
    os.killpg(session.pid, signal.SIGINT)
    project.end(session)
    assert session.returncode == pytest.ExitCode.INTERRUPTED
    assert "down a" in project.events


@HERE_AND_THERE
def test_a_key_pressed_twice_is_answered_and_the_summary_is_written(
    project: Project, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    monkeypatch.setenv("TELL_S", "0.5")
    project.cases("a1", "time.sleep(60)")
    session = project.start(workers)
    project.wait_for(session, "begin a")
    os.kill(session.pid, signal.SIGINT)
    project.wait_for(session, "told interrupt")
    os.kill(session.pid, signal.SIGINT)
    project.end(session)
    assert session.returncode == pytest.ExitCode.INTERRUPTED, project.log
    assert "once more leaves it to the reaper" in project.log
    assert "record a: 1 uses" in project.log
    assert "down a" in project.events


@pytest.mark.parametrize("more", [1, 2])
def test_more_ctrl_c_while_stacks_go_down_leave_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    monkeypatch.setenv("DOWN_S", "1.5")
    project.cases("a1", "time.sleep(60)")
    session = project.start("-n0")
    project.wait_for(session, "begin a")
    os.kill(session.pid, signal.SIGINT)
    project.wait_for(session, "falling a")
    for _ in range(more):
        os.kill(session.pid, signal.SIGINT)
        time.sleep(0.3)
    project.end(session)
    assert "once more leaves it to the reaper" in project.log
    assert ("down a" in project.events) == (more == 1)


@HERE_AND_THERE
def test_what_a_test_leaves_running_is_ended_and_named(project: Project, workers: str) -> None:
    project.cases("a1", "load = processes.start([sys.executable, '-c', 'import time; time.sleep(299)'])")
    result = project.run(workers)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*this was left running, and is ended now: *time.sleep(300)*"])


def test_a_project_that_does_not_use_the_plugin_keeps_xdists_own_scheduler(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_a(): pass\ndef test_b(): pass")
    result = pytester.runpytest_subprocess("-n2", "-v", "--dist=worksteal", timeout=SOON_S)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["scheduling tests via WorkStealingScheduling"])


def test_ours_is_shown_as_the_scheduler_where_there_are_stacks(project: Project) -> None:
    project.cases("a1")
    project.run("-n2", "-v").stdout.fnmatch_lines(["scheduling tests via StackScheduling"])
