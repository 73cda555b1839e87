"""Runs a load program on this machine: its words go into files, its progress onto a line now and then, and it ends."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, Protocol

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import STDERR, STDOUT, Command, Progress
from pytest_llmdbench.harnesses.server_counts import ServerCounts
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks import processes

#: Seconds between two looks at the process, and between two progress lines while the stage stays the same.
LOOK_S: Final = 0.2
EVERY_S: Final = 5.0
#: Seconds that a program gets to end by itself when it is asked to.
GRACE_S: Final = 10.0
#: How much of the program's own words an error repeats, and from how much of the log's end.
LAST_LINES: Final = 12
LAST_BYTES: Final = 20_000


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
    """One execution of a load program; ``started`` is ISO 8601 with zone."""

    exit_code: int
    elapsed_s: float
    started: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a load before it runs: what its progress is measured by.

    ``name`` is what a line about it begins with; ``url`` where its server answers, without ``/v1``; ``stages`` is 0 and
    ``expected_s`` None where the load does not say.
    """

    name: str
    url: str
    stages: int = 0
    expected_s: float | None = None


def launch(
    command: Command,
    outline: Outline,
    *,
    timeout_s: float,
    watch: Callable[[], Progress],
    say: Say,
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
        start: starts a process that cannot outlive the run.
        end: ends such a process and its group.

    Raises:
        HarnessError: it could not be started, or took longer than ``timeout_s``; with the last lines of its log.
    """
    server = ServerCounts(outline.url)
    started, begun = datetime.now(UTC), time.monotonic()
    with (command.cwd / STDOUT).open("wb") as stdout, (command.cwd / STDERR).open("wb") as stderr:
        try:
            process = start(command.argv, cwd=command.cwd, env=command.env, stdout=stdout, stderr=stderr)
        except OSError as error:
            raise HarnessError(f"{outline.name} could not be started: {error}") from error
        try:
            in_time = _Watch(outline, watch, server, say).follow(process, timeout_s)
        finally:
            # Also after an end of its own: it may have left children.
            end(process, GRACE_S)
    if not in_time:
        expected = f" ({outline.expected_s:.0f} s were expected)" if outline.expected_s else ""
        raise HarnessError(
            f"{outline.name} was ended: it took longer than its {timeout_s:.0f} s{expected}. "
            f"Its files are in {command.cwd}; the last it said:\n{last_lines(command.cwd)}"
        )
    return Launched(process.wait(), time.monotonic() - begun, started.isoformat(timespec="milliseconds"))


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


@dataclass(frozen=True, slots=True)
class _Watch:
    """Looks at a running load program and says how far it is."""

    outline: Outline
    look: Callable[[], Progress]
    server: ServerCounts
    say: Say

    def follow(self, process: subprocess.Popen[bytes], timeout_s: float) -> bool:
        """Whether the process ended before its time was up."""
        begun = said_at = time.monotonic()
        said_stage: int | None = None
        while process.poll() is None:
            time.sleep(LOOK_S)
            progress, now = self.look(), time.monotonic()
            if now - begun >= timeout_s:
                return False
            if progress.stage != said_stage or now - said_at >= EVERY_S:
                self.say(f"{self.outline.name}: {', '.join(self._parts(progress, now - begun))}")
                said_at, said_stage = now, progress.stage
        return True

    def _parts(self, progress: Progress, elapsed: float) -> Iterator[str]:
        counts = self.server.look()
        failed = progress.failed + (counts.refused or 0)
        starting = progress.stage is None and not counts.done and not failed
        if starting:
            yield "starting"
        elif progress.stage is not None:
            yield f"stage {progress.stage + 1}" + (f"/{self.outline.stages}" if self.outline.stages else "")
        yield f"{elapsed:.0f} of ~{self.outline.expected_s:.0f} s" if self.outline.expected_s else f"{elapsed:.0f} s"
        if counts.done is not None and not starting:
            yield f"{counts.done} requests done"
        # Where nobody counts refusals, none seen does not mean none.
        if failed or (counts.refused is not None and not starting):
            yield f"{failed} failed"
