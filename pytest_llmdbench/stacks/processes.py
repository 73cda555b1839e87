"""Child processes that cannot outlive the run: each carries a mark in its environment that the reaper looks for."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psutil

#: The environment variable that everything a run starts inherits; its value is the run's own.
MARK: Final = "LLMDBENCH_GUARD"
#: Set by pytest-xdist in each worker, and so inherited by what the worker starts.
WORKER: Final = "PYTEST_XDIST_WORKER"
#: What SIGTERM is given before SIGKILL, in seconds.
GRACE_S: Final = 5.0
_LOOK_S: Final = 0.02


def new_mark() -> str:
    """Give this process, and all it starts from now on, a mark of its own; returns it."""
    os.environ[MARK] = secrets.token_hex(8)
    return os.environ[MARK]


def mark() -> str:
    """This run's mark: the one that was made here, or inherited from the controller."""
    return os.environ.get(MARK) or new_mark()


def start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: IO[Any] | int | None = None,
    stderr: IO[Any] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a guarded child in a process group of its own; ``env`` comes on top of this process's. Raises OSError."""
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env={**os.environ, **(env or {}), MARK: mark()},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes], grace: float = GRACE_S) -> None:
    """End a child started by :func:`start` with all of its group: SIGTERM, then SIGKILL after ``grace`` seconds."""
    # The group may outlive its leader, so it is signalled whether or not the leader is still there.
    _signal_group(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while process.poll() is None or _group_lives(process.pid):
        if time.monotonic() >= deadline:
            _signal_group(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
            return
        time.sleep(_LOOK_S)


def survivors(token: str, worker: str | None = None) -> list[psutil.Process]:
    """Every live process that carries a run's mark, with all below it, but for this one.

    With ``worker`` only what that xdist worker started, not the worker itself.
    """
    import psutil

    found: dict[int, psutil.Process] = {}
    children: dict[int, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                if process.pid == os.getpid() or not _lives(process):
                    continue
                children.setdefault(process.ppid(), []).append(process)
                environ = process.environ()
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
        if environ.get(MARK) == token and (worker is None or environ.get(WORKER) == worker):
            found[process.pid] = process
    # A child may have been given another environment, and some systems hide that of their own programs.
    below = list(found)
    while below:
        for child in children.get(below.pop(), ()):
            if child.pid not in found:
                found[child.pid] = child
                below.append(child.pid)
    return list(found.values())


def end_all(
    token: str, worker: str | None = None, *, grace: float = GRACE_S, looks: int = 1, patience: float = 60.0
) -> list[str]:
    """End all that :func:`survivors` finds: SIGTERM, then SIGKILL after ``grace`` seconds; returns their command lines.

    It is over when ``looks`` searches in a row, a tenth of a second apart, find nothing: what is being started during
    one is there at the next. Given up after ``patience`` seconds.
    """
    import psutil

    ended: dict[int, str] = {}
    quiet = 0
    deadline = time.monotonic() + patience
    while True:
        left = survivors(token, worker)
        quiet = 0 if left else quiet + 1
        if quiet >= looks or time.monotonic() >= deadline:
            return list(ended.values())
        for process in left:
            with contextlib.suppress(psutil.Error):
                ended.setdefault(process.pid, f"{process.pid}: {' '.join(process.cmdline())}")
        for action in ("terminate", "kill"):
            for process in left:
                with contextlib.suppress(psutil.Error):
                    getattr(process, action)()
            left = _wait(left, grace)
        time.sleep(0.1)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended within so many seconds; one that nobody has collected yet has ended."""
    deadline = time.monotonic() + seconds
    while (processes := [process for process in processes if _lives(process)]) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return processes


def _lives(process: psutil.Process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # macOS forbids it where only dead ones are left
        return False
    import psutil

    # Where nobody collects orphans (a container without an init), a dead member stays in its group for ever.
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(pid) == group and _lives(psutil.Process(pid)):
                return True
    return False
