"""``deploy: local`` with ``engine.kind: vllm``: a real ``vllm serve`` on this machine's processors."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.processors import trouble
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import DeclarationError, HarnessError, StandupError
from pytest_llmdbench.harnesses.nop import LOGS, STANDUP
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.harnesses.vllm_environment import VllmEnvironment
from pytest_llmdbench.results.server_metrics.scraped import Look, Target
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.engine_words import last_words, under_way
from pytest_llmdbench.stacks.http import Server, ServerError, ready_trouble
from pytest_llmdbench.stacks.kubernetes.interruptible import interruptibly
from pytest_llmdbench.stacks.machine_memory import machine_memory
from pytest_llmdbench.stacks.processes import end, start
from pytest_llmdbench.stacks.scrape_http import from_here
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec
from pytest_llmdbench.stacks.vllm_command import VllmCommand

#: The engine's log, in its own folder and among the diagnostics; and what it is called among the logs of roles.
LOG: Final = "engine.log"
ROLE: Final = "server"
#: Seconds between two looks at an engine that starts, and between two lines about it.
LOOK_S: Final = 0.5
EVERY_S: Final = 5.0
#: What it is given to end by itself, in seconds.
GRACE_S: Final = 15.0
#: Seconds for which an engine that ends, an earlier stack of this run for one, may still hold memory.
FREED_S: Final = 20.0
_HOST: Final = "127.0.0.1"


class LocalVllm:
    """One engine; see :class:`~pytest_llmdbench.stacks.deployment.Deployment`. Interruptible and Watchful.

    ``diagnostics`` is the folder that its log is kept in where it did not come up, or ended by itself.
    """

    def __init__(self, spec: StackSpec, say: Say, diagnostics: Path) -> None:
        self._key = spec.key
        self._say = say
        self._diagnostics = diagnostics
        self._scenario = Scenario.model_validate(spec.config)
        self._name = self._scenario.model.name
        self._environment = VllmEnvironment()
        self._process: subprocess.Popen[bytes] | None = None
        self._server = Server("")
        self._interrupted = threading.Event()
        self._resets = True
        self._folder = tempfile.TemporaryDirectory(prefix="llmdbench-")
        self._log = Path(self._folder.name) / LOG
        self._start = VllmCommand(self._scenario, self._environment, Path(self._folder.name))

    def up(self) -> Endpoint:
        """Install vLLM if it is not there yet, start it, and return when it has answered a completion.

        Raises:
            StandupError: with the last that it said, and where its log is; or why vLLM cannot be had, or cannot start.
        """
        self._check()
        try:
            interruptibly(lambda: self._environment.prepare(self._say), self._interrupted, f"stack {self._key}")
        except HarnessError as error:
            raise StandupError(f"stack {self._key}: {error}\n  Without it: --scenario=local, the simulator") from error
        began = time.monotonic()
        port = _free_port()
        self._server = Server(f"http://{_HOST}:{port}")
        with self._log.open("wb") as log:
            try:
                words = self._start.words(_HOST, port)
                process = start(words, env=self._start.variables, stdout=log, stderr=subprocess.STDOUT)
            except OSError as error:
                raise StandupError(f"stack {self._key}: vllm could not be started: {error}") from error
        self._process = process
        self._wait(process, began)
        return self._endpoint(time.monotonic() - began)

    def interrupt(self) -> None:
        """Make :meth:`up` give up at once."""
        self._interrupted.set()
        if self._process is not None:
            self._process.terminate()

    def reset(self) -> str | None:
        """Forget the prefix cache, where this vLLM can be told to; else say once that it keeps it."""
        try:
            self._server.post("/reset_prefix_cache", {})
        except ServerError as error:
            if error.status not in (404, 405):
                raise StandupError(f"stack {self._key}: its prefix cache could not be reset: {error}") from error
            kept = "this vLLM cannot be told to forget its prefix cache; it stays warm"
            if self._resets:
                self._say(f"stack {self._key}: {kept}")
            self._resets = False
            return kept
        except (OSError, ValueError) as error:
            raise StandupError(f"stack {self._key}: {self.trouble() or error}") from error
        return None

    def look(self) -> Look:
        """Its metrics, asked for from here."""
        return from_here([Target(ROLE, ROLE, f"{self._server.url}/metrics")])

    def observe(self) -> Mapping[str, Any]:
        """Nothing: vLLM keeps no account of a window; what it counts is in its metrics."""
        return {}

    def trouble(self) -> str | None:
        """That the engine has ended, and the last it said; None while it runs."""
        status = self._process.poll() if self._process is not None else None
        return None if status is None else f"vLLM ended with status {status} during the load{self._said()}"

    def down(self) -> None:
        """End the engine and all of its processes. Safe to call twice, and before it was started."""
        if self._process is not None:
            if self._process.poll() is not None:
                self._keep()
            end(self._process, GRACE_S)
        self._folder.cleanup()

    def _check(self) -> None:
        """Refuse what has no room in this machine's memory before minutes are spent on it."""
        try:
            found = self._start.fit()
        except DeclarationError as error:
            raise StandupError(f"stack {self._key}: {error}") from error
        if found is None:
            return
        until = time.monotonic() + FREED_S
        memory = machine_memory()
        while found.needed > memory.available and found.needed <= memory.total and time.monotonic() < until:
            if self._interrupted.wait(LOOK_S):
                raise StandupError(f"stack {self._key}: the run ended before it was up")
            memory = machine_memory()
        if wrong := trouble(found, memory):
            raise StandupError(f"stack {self._key} cannot start on this machine: {wrong}")
        self._say(f"stack {self._key}: {found.text}")

    def _wait(self, process: subprocess.Popen[bytes], began: float) -> None:
        """Return when a completion was answered."""
        told, limit = began, self._scenario.standup_s
        while not self._listens():
            now = time.monotonic()
            if process.poll() is not None:
                raise self._failed(f"vLLM ended with status {process.returncode} before it was up")
            if now - began > limit:
                raise self._failed(f"vLLM was not up within {limit:g} s (timeouts.standup_s)")
            if now - told >= EVERY_S:
                self._say(f"stack {self._key}: vLLM {under_way(self._log)}, {now - began:.0f} s")
                told = now
            if self._interrupted.wait(LOOK_S):
                raise StandupError(f"stack {self._key}: the run ended before it was up")
        seconds = max(1.0, limit - (time.monotonic() - began))
        if wrong := ready_trouble(self._server, self._name, seconds):
            with contextlib.suppress(subprocess.TimeoutExpired):  # an engine that dies of it takes a moment to end
                process.wait(LOOK_S)
            raise self._failed(f"vLLM listens, but {wrong}")

    def _listens(self) -> bool:
        try:
            self._server.get("/health", 5.0)
        except (OSError, ValueError):
            return False
        return True

    def _endpoint(self, standup_s: float) -> Endpoint:
        """With the log until now beside the one that goes on."""
        until_ready = Path(self._folder.name) / f"{ROLE}.log"
        shutil.copyfile(self._log, until_ready)
        try:
            version = self._server.get("/version").get("version")
            (model,) = self._server.get("/v1/models")["data"][:1]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise self._failed(f"vLLM does not say what it serves: {error}") from error
        ours = str(simulator_tokenizer()) if self._start.tiny else self._name
        return Endpoint(
            url=self._server.url,
            model=self._name,
            tokenizer=self._scenario.model.tokenizer or ours,
            facts={
                "engine": "vllm",
                "engine_version": version,
                "max_model_len": model.get("max_model_len"),
                STANDUP: standup_s,
                LOGS: {ROLE: str(until_ready)},
            },
        )

    def _failed(self, what: str) -> StandupError:
        return StandupError(f"stack {self._key}: {what}{self._said()}")

    def _said(self) -> str:
        """The last that the engine said, and where all of it is kept, to go into a message."""
        kept = self._keep()
        return last_words(self._log) + (f"\n  all it said is in {kept}" if kept else "")

    def _keep(self) -> Path | None:
        """Keep the log among the diagnostics; None where that cannot be, which must not hide what went wrong."""
        try:
            self._diagnostics.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._log, self._diagnostics / LOG)
        except OSError as error:
            self._say(f"stack {self._key}: the engine's log could not be kept in {self._diagnostics}: {error}")
            return None
        return self._diagnostics / LOG


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((_HOST, 0))
        return int(one.getsockname()[1])
