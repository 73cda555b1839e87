"""Child processes that cannot outlive the run: each carries a mark in its environment that the reaper looks for."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
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
        env={**os.environ, MARK: mark(), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes], grace: float = GRACE_S) -> None:
    """End a child started by :func:`start` with all of its group: SIGTERM, then SIGKILL after ``grace`` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The group may outlive its leader, so it is signalled whether or not the leader is still there.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
            if number == signal.SIGTERM and not _group_lives(process.pid):
                return


def survivors(token: str, worker: str | None = None) -> list[psutil.Process]:
    """Every live process that carries a run's mark, but for this one; of one xdist worker only, if it is named."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environ = process.environ()
        except (psutil.Error, OSError):
            continue
        if environ.get(MARK) == token and (worker is None or environ.get(WORKER) == worker):
            found.append(process)
    return found


def end_all(processes: Iterable[psutil.Process], grace: float = GRACE_S) -> None:
    """SIGTERM to all, SIGKILL to what is left after ``grace`` seconds; returns when they are gone or cannot be."""
    import psutil

    left = list(processes)
    for action in ("terminate", "kill"):
        for process in left:
            with contextlib.suppress(psutil.Error):
                getattr(process, action)()
        _, left = psutil.wait_procs(left, timeout=grace)
        if not left:
            return


def _group_lives(group: int) -> bool:
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        time.sleep(0.01)
    return True
