"""A Python environment for each load program: locked, made by uv on first use, kept in the user's cache.

Load programs pin what they need so tightly that two of them cannot share an environment, nor could they share ours.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.cache import cache_folder
from pytest_llmdbench.say import Say

#: Written last: without it an environment is taken as half made, and made anew.
MARKER: Final = ".llmdbench-complete"
#: Seconds between two progress lines of an installation, and of a wait for somebody else's.
EVERY_S: Final = 5.0
#: How much of uv's own words an error repeats.
LAST_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of one version of one load program.

    ``python`` is a version specifier; ``lock`` a requirements file with a hash for every package, as
    ``uv pip compile --universal --generate-hashes`` writes it; ``size`` is what people are told before it is installed.
    A changed lock or specifier makes another environment beside the old one, so versions live side by side.
    """

    name: str
    version: str
    lock: Path
    python: str = ">=3.12,<3.14"
    size: str = ""

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        content = hashlib.sha256(self.lock.read_bytes() + self.python.encode())
        return cache_folder() / "harnesses" / f"{self.name}-{self.version}-{content.hexdigest()[:10]}"

    def program(self, name: str) -> Path:
        """The path of one of its programs, there or not."""
        return self.folder / "bin" / name

    def ready(self) -> bool:
        """Whether it is complete and its Python is still on this machine."""
        return (self.folder / MARKER).is_file() and self.program("python").exists()

    def prepare(self, say: Say) -> None:
        """Make it unless it is there. Whoever else prepares the same one meanwhile waits for the first.

        ``say`` gets a line at the start, every few seconds, and at the end.

        Raises:
            HarnessError: there is no fitting Python, or uv could not install it; says how to go on.
        """
        if self.ready():
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(self._beside("lock"), f"{self.name} {self.version}", say):
            if not self.ready():
                self._make(say)

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{suffix}")

    def _make(self, say: Say) -> None:
        started = time.monotonic()
        size = f" (about {self.size})" if self.size else ""
        what = f"{self.name} {self.version}: installing its own environment, once{size}"
        say(f"{what} into {self.folder}")
        # A virtual environment cannot be moved once it is made, so it is made in place; the marker comes last.
        shutil.rmtree(self.folder, ignore_errors=True)
        complete = False
        try:
            self._uv(["venv", "--quiet", "--no-project", "--python", self.python, str(self.folder)], what, say, started)
            python = str(self.program("python"))
            self._uv(["pip", "sync", "--require-hashes", "--python", python, str(self.lock)], what, say, started)
            (self.folder / MARKER).write_text(f"{self.name} {self.version}\n", encoding="utf-8")
            complete = True
        finally:
            if not complete:
                shutil.rmtree(self.folder, ignore_errors=True)
        say(f"{self.name} {self.version}: installed in {time.monotonic() - started:.0f} s")

    def _uv(self, arguments: Sequence[str], what: str, say: Say, started: float) -> None:
        log = self._beside("log")
        with log.open("wb") as output:
            # uv reads the settings of a project from the working directory: not those of the suite that happens to run.
            process = subprocess.Popen(
                [_uv_program(), "--no-progress", *arguments],
                cwd=self.folder.parent,
                env=os.environ | {"PATH": _search_path()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                while True:
                    try:
                        code = process.wait(timeout=EVERY_S)
                        break
                    except subprocess.TimeoutExpired:
                        say(f"{what} ... {time.monotonic() - started:.0f} s")
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if code:
            raise HarnessError(self._failure(arguments, log.read_text(encoding="utf-8", errors="replace")))

    def _failure(self, arguments: Sequence[str], output: str) -> str:
        said = "\n".join(f"    {line}" for line in output.strip().splitlines()[-LAST_LINES:])
        if arguments[0] == "venv":
            return (
                f"{self.name} {self.version} needs Python {self.python}: none was found, "
                f"and uv could not download one.\n{said}\n"
                "  Install one (a package of your system, pyenv, or 'uv python install 3.12') and put it on PATH."
            )
        return (
            f"{self.name} {self.version} could not be installed from its lock file {self.lock.name}:\n{said}\n"
            "  It needs a package index that uv can reach (behind a mirror or a proxy: UV_DEFAULT_INDEX, HTTPS_PROXY)"
            f" and free space in {self.folder.parent}. Nothing half made was left; the next run tries again."
        )


def _uv_program() -> str:
    from uv import find_uv_bin

    try:
        return find_uv_bin()
    except FileNotFoundError as error:
        raise HarnessError("the program uv is missing from its package; 'pip install --force-reinstall uv'") from error


def _search_path() -> str:
    """PATH, and after it the Pythons of pyenv, which its users mostly have but not on PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    found = sorted(str(folder) for folder in pyenv.glob("versions/*/bin"))
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *found])


@contextmanager
def _only_one(lock: Path, what: str, say: Say) -> Iterator[None]:
    """Hold a file lock. The system lets go of it when the process ends, however it ends."""
    with lock.open("ab") as file:
        waited = 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if waited % EVERY_S == 0:
                    say(f"{what}: somebody else is installing it; waiting ... {waited:.0f} s")
                time.sleep(0.5)
                waited += 0.5
        yield
