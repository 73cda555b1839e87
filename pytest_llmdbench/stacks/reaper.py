"""The last line of defence on this machine: a process that ends what a killed run left behind.

It holds the read end of a pipe from the run. An orderly end writes ``done``; when the run is killed the pipe just ends,
and everything that carries the run's mark is ended, workers of pytest-xdist included.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import Final

from pytest_llmdbench.stacks.processes import MARK, WORKER, end_all, mark

_DONE: Final = b"done\n"
#: How often the reaper makes sure that the run is alive, in seconds: a child that a test forked may keep the pipe open.
_LOOK_S: Final = 2.0


class Reaper:
    """The run's side: started before the first guarded process, told when the run has ended in order."""

    def __init__(self) -> None:
        self._token = mark()
        # It carries no mark itself; and no other child inherits the pipe, or it would never end.
        environ = {name: value for name, value in os.environ.items() if name not in (MARK, WORKER)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest_llmdbench.stacks.reaper", self._token, str(os.getpid())],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def done(self) -> list[str]:
        """The run has taken down what it started: the reaper makes sure of it and goes.

        Returns the command lines of what was left and had to be ended; there is none if all is well.
        """
        said, _ = self._process.communicate(_DONE)
        if self._process.returncode != 0:  # somebody has ended the reaper
            return end_all(self._token)
        return said.decode(errors="replace").splitlines()


def _watch(token: str, run: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if _ends_in_order(run):
        for line in end_all(token):
            print(line)
    else:
        # More than one look: what was being started in the instant of the kill does not carry the mark yet.
        end_all(token, grace=3.0, looks=4)


def _ends_in_order(run: int) -> bool:
    """Wait for the end of the process ``run``; whether it had said that it is done."""
    said = b""
    while os.getppid() == run:
        ready, _, _ = select.select([sys.stdin], [], [], _LOOK_S)
        if ready:
            read = os.read(sys.stdin.fileno(), 4096)
            if not read:
                break
            said += read
    return said == _DONE


if __name__ == "__main__":
    _watch(sys.argv[1], int(sys.argv[2]))
