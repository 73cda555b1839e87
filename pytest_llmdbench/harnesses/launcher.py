"""Runs a load program on this machine: its words go into files, its progress onto a line now and then, and it ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, Protocol

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import CLOCK, STDERR, STDOUT, Command, Progress
from pytest_llmdbench.harnesses.progress_line import Outline, ProgressLine
from pytest_llmdbench.harnesses.server_counts import ServerCounts
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks import processes

#: Seconds between two looks at the process.
LOOK_S: Final = 0.2
#: Seconds that a program gets to end by itself when it is asked to.
GRACE_S: Final = 10.0
#: How much of the program's own words an error repeats, and from how much of the log's end.
LAST_LINES: Final = 12
LAST_BYTES: Final = 20_000


#: Asked with the seconds since a load began: why it is given up, None to go on.
GiveUp = Callable[[float], "str | None"]


class Start(Protocol):
    """How processes are started here, so that none is left behind."""

    def __call__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start ``argv`` in a process group of its own; ``env`` comes on top of this process's."""


#: How a process and all that it started is ended: asked to, and after so many seconds made to.
End = Callable[["subprocess.Popen[bytes]", float], None]


@dataclass(frozen=True, slots=True)
class Launched:
    """One execution of a load program; ``started`` is ISO 8601 with zone, ``abandoned`` why it was given up."""

    exit_code: int
    elapsed_s: float
    started: str
    abandoned: str | None = None


def launch(
    command: Command,
    outline: Outline,
    *,
    timeout_s: float,
    watch: Callable[[], Progress],
    say: Say,
    give_up: GiveUp | None = None,
    start: Start = processes.start,
    end: End = processes.end,
) -> Launched:
    """Run a load program to its end and say how far it is, at each new stage and every few seconds.

    What it writes goes to ``stdout.log`` and ``stderr.log`` in its folder. An exit code other than 0 is returned, not
    raised: its files say what it measured. Whatever happens here, its process group is ended; its files stay.

    Args:
        command: what to run.
        outline: what its progress is measured by.
        timeout_s: how long it may take, wall seconds.
        watch: says what the program itself reports (``Harness.watch``).
        say: shows a line to people.
        give_up: asked a few times a second; the program is told to end once there is a reason.
        start: starts a process that cannot outlive the run.
        end: ends such a process and its group.

    Raises:
        HarnessError: it could not be started, or took longer than ``timeout_s``; with the last lines of its log.
    """
    server = ServerCounts(outline.url)
    started, begun = datetime.now(UTC), time.monotonic()
    (command.cwd / CLOCK).write_text(f"{time.time() - time.perf_counter()}\n", encoding="utf-8")
    with (command.cwd / STDOUT).open("wb") as stdout, (command.cwd / STDERR).open("wb") as stderr:
        try:
            process = start(command.argv, cwd=command.cwd, env=command.env, stdout=stdout, stderr=stderr)
        except OSError as error:
            raise HarnessError(f"{outline.name} could not be started: {error}") from error
        try:
            in_time, abandoned = _in_time(process, ProgressLine(outline, watch, say, server), timeout_s, give_up)
        finally:
            # Also after an end of its own: it may have left children.
            end(process, GRACE_S)
    if not in_time:
        raise HarnessError(
            f"{too_long(outline, timeout_s)} Its files are in {command.cwd}; "
            f"the last it said:\n{last_lines(command.cwd)}"
        )
    took = time.monotonic() - begun
    return Launched(process.wait(), took, started.isoformat(timespec="milliseconds"), abandoned)


def too_long(outline: Outline, timeout_s: float) -> str:
    """The sentence on a load that was ended because its time was up."""
    expected = f" ({outline.expected_s:.0f} s were expected)" if outline.expected_s else ""
    return f"{outline.name} was ended: it took longer than its {timeout_s:.0f} s{expected}."


def last_lines(folder: Path) -> str:
    """The end of what a load program said in ``folder``: of its errors, or else of its output; indented."""
    for name in (STDERR, STDOUT):
        try:
            with (folder / name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
                lines = file.read().decode("utf-8", errors="replace").split("\n")
        except OSError:
            continue
        said = [f"    {line}" for line in lines if line.strip()][-LAST_LINES:]
        if said:
            return "\n".join(said)
    return "    (nothing)"


def _in_time(
    process: subprocess.Popen[bytes], line: ProgressLine, timeout_s: float, give_up: GiveUp | None
) -> tuple[bool, str | None]:
    """Whether the process ended before its time was up, or why it is given up; says meanwhile how far it is."""
    begun = time.monotonic()
    while process.poll() is None:
        time.sleep(LOOK_S)
        elapsed = time.monotonic() - begun
        if elapsed >= timeout_s:
            return False, None
        if give_up is not None and (why := give_up(elapsed)) is not None:
            return True, why
        line.look(elapsed)
    return True, None
