"""The last line of defence on this machine: a process that ends what a killed run left behind.

It holds the read end of a pipe from the run. An orderly end writes ``done``; when the run is killed the pipe just ends, and
everything that carries the run's mark is ended, workers of pytest-xdist included.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Final

from pytest_llmdbench.stacks.processes import MARK, end_all, mark, survivors

_DONE: Final = b"done\n"
#: How long the reaper goes on looking: a worker in its last second may start one more process.
_PATIENCE_S: Final = 60.0


class Reaper:
    """The run's side: started before the first guarded process, told when the run has ended in order."""

    def __init__(self) -> None:
        token = mark()
        environ = {name: value for name, value in os.environ.items() if name != MARK}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest_llmdbench.stacks.reaper", token],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def done(self) -> None:
        """The run has taken down what it started: the reaper makes sure of it and goes. Safe to call twice."""
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            return
        with contextlib.suppress(OSError):
            pipe.write(_DONE)
            pipe.close()
        self._process.wait()


def _watch(token: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while sys.stdin.buffer.read(4096):
        pass
    deadline = time.monotonic() + _PATIENCE_S
    quiet = 0
    # Two empty looks in a row: a process that was being started at the first is there at the second.
    while quiet < 2 and time.monotonic() < deadline:
        left = survivors(token)
        quiet = 0 if left else quiet + 1
        end_all(left, grace=3.0)
        time.sleep(0.1)


if __name__ == "__main__":
    _watch(sys.argv[1])
