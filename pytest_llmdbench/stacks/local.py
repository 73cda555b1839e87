"""``deploy: local``: the embedded simulator as a process of its own on this machine."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.results.server_metrics.scraped import Look, Target
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.http import Server, ready_trouble
from pytest_llmdbench.stacks.processes import end, start
from pytest_llmdbench.stacks.scrape_http import from_here
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec


class LocalDeployment:
    """One simulated server; see :class:`~pytest_llmdbench.stacks.deployment.Deployment`."""

    def __init__(self, spec: StackSpec, say: Say) -> None:
        self._key = spec.key
        self._say = say
        self._model: str = spec.config["model"]["name"]
        self._tokenizer: str | None = spec.config["model"]["tokenizer"]
        self._simulator: Mapping[str, Any] = spec.config["simulator"]
        self._standup_s: float = spec.config["timeouts"]["standup_s"] or 60.0
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="llmdbench-")
        self._server = Server("")
        self._interrupted = False

    def up(self) -> Endpoint:
        """Start the server and return when it has answered a completion. Raises StandupError with what it said."""
        folder = Path(self._folder.name)
        config = folder / "simulator.json"
        config.write_text(json.dumps(self._simulator, default=list), encoding="utf-8")
        command = [sys.executable, "-m", "pytest_llmdbench.simulator", "--config", str(config), "--model", self._model]
        began = time.monotonic()
        with (folder / "stderr.log").open("wb") as log:
            process = start([*command, "--host", "127.0.0.1", "--port", "0"], stdout=subprocess.PIPE, stderr=log)
        self._process = process
        if self._interrupted:
            process.terminate()
        self._server = Server(self._announced(process, began + self._standup_s))
        if wrong := ready_trouble(self._server, self._model):
            raise StandupError(f"stack {self._key}: it listens, but {wrong}{self._log()}")
        return Endpoint(
            url=self._server.url,
            model=self._model,
            tokenizer=self._tokenizer or str(simulator_tokenizer()),
            facts={
                "engine": "simulator",
                "max_model_len": self._simulator["max_model_len"],
                "standup_s": time.monotonic() - began,
            },
        )

    def interrupt(self) -> None:
        """End the server while :meth:`up` waits for it, which fails then."""
        self._interrupted = True
        if self._process is not None:
            self._process.terminate()

    def reset(self) -> None:
        """Forget the prefix cache, and begin a new window of what the server says of itself."""
        self._server.post("/sim/reset?prefix_cache=1", {})

    def look(self) -> Look:
        """Its metrics, asked for from here."""
        return from_here([Target("server", "server", f"{self._server.url}/metrics")])

    def observe(self) -> Mapping[str, Any]:
        """The server's own statistics since the last reset: lateness, counts, true latencies."""
        return self._server.get("/sim/stats")

    def trouble(self) -> str | None:
        """That the server has ended, None while it runs."""
        status = self._process.poll() if self._process is not None else None
        return None if status is None else f"the simulator ended with status {status} during the load{self._log()}"

    def down(self) -> None:
        """End the server. Safe to call twice, and before it was started."""
        if self._process is not None:
            end(self._process)
            if self._process.stdout:
                self._process.stdout.close()
        self._folder.cleanup()

    def _announced(self, process: subprocess.Popen[bytes], deadline: float) -> str:
        """The address that the server prints once its port is open."""
        lines: list[bytes] = []
        # A thread reads, because a pipe cannot be waited on with a deadline everywhere.
        reader = threading.Thread(target=lambda: lines.append(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
        reader.start()
        reader.join(max(0.0, deadline - time.monotonic()))
        if reader.is_alive():
            raise StandupError(
                f"stack {self._key}: the simulator did not listen within {self._standup_s:g} s (timeouts.standup_s)"
                f"{self._log()}"
            )
        try:
            return str(json.loads(lines[0])["url"])
        except (ValueError, KeyError, TypeError):
            status = None
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(1)
            raise StandupError(f"stack {self._key}: the simulator ended with status {status}{self._log()}") from None

    def _log(self) -> str:
        """The last lines that the server wrote, to go into a message."""
        try:
            lines = (Path(self._folder.name) / "stderr.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return "".join(f"\n    {line}" for line in lines[-10:])
