"""A simulator in its own process, and a small client for it, for all tests of this folder."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

PROTOCOL_CONFIG = {"model": "tiny", "itl": 0.001, "max_model_len": 2048}


@dataclass
class Reply:
    """An answer: status, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The decoded events of a stream, without [DONE]."""
        lines = [line.removeprefix(b"data: ") for line in self.body.split(b"\n\n") if line]
        return [json.loads(line) for line in lines if line != b"[DONE]"]


@dataclass
class Simulator:
    """A running simulator."""

    process: subprocess.Popen[str]
    url: str

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """One request on a connection of its own; ``body`` is sent as JSON unless it is bytes."""
        connection = self.client()
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, sent, {"content-type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        reply = Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return reply

    def complete(self, prompt: Any = "one two three", **fields: Any) -> Reply:
        return self.ask("POST", "/v1/completions", {"prompt": prompt, **fields})

    def chat(self, messages: Any, **fields: Any) -> Reply:
        return self.ask("POST", "/v1/chat/completions", {"messages": messages, **fields})

    def client(self) -> http.client.HTTPConnection:
        host, port = self.address
        return http.client.HTTPConnection(host, port, timeout=20)

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def stats(self) -> Any:
        return self.ask("GET", "/sim/stats").json

    def metric(self, line: str) -> float:
        """The value of the series in ``/metrics`` that begins with ``line``."""
        text = self.ask("GET", "/metrics").body.decode()
        values = [float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(line)]
        assert len(values) == 1, f"{line}: {values}"
        return values[0]


def launch(config: dict[str, Any], *arguments: str) -> Simulator:
    command = [sys.executable, "-m", "pytest_llmdbench.simulator", "--config", "-", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(config))
    process.stdin.close()
    ready = json.loads(process.stdout.readline())
    assert ready["event"] == "listening"
    assert ready["pid"] == process.pid
    return Simulator(process, ready["url"])


def end(simulator: Simulator) -> None:
    simulator.process.terminate()
    simulator.process.wait(10)
    assert simulator.process.stdout
    simulator.process.stdout.close()


@pytest.fixture
def simulate() -> Iterator[Callable[..., Simulator]]:
    """Start simulators with the given keys; they end with the test."""
    running: list[Simulator] = []

    def start(**config: Any) -> Simulator:
        running.append(launch(config))
        return running[-1]

    yield start
    for simulator in running:
        end(simulator)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """One simulator for all tests of a module that only look at the protocol."""
    started = launch(PROTOCOL_CONFIG)
    yield started
    end(started)
