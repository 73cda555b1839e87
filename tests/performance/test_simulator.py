"""What the embedded simulator costs and how exact it is, each figure printed beside its goal.

The load comes from this very file, run as a program of its own, so that it does not share the simulator's process.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

STREAMS = 200
TOKENS = 100
TTFT, ITL = 0.05, 0.01
PROMPT = " ".join(f"w{number}" for number in range(75))

pytestmark = pytest.mark.performance


@contextmanager
def simulator(**config: Any) -> Iterator[tuple[str, int, float]]:
    """A simulator in its own process: URL, process id, seconds until it listened."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest_llmdbench.simulator", "--config", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(config))
        process.stdin.close()
        ready = json.loads(process.stdout.readline())
        try:
            yield ready["url"], ready["pid"], time.perf_counter() - began
        finally:
            process.terminate()


def call(url: str, path: str, method: str = "GET") -> Any:
    """The decoded answer of a control route."""
    with urlopen(Request(url + path, method=method), timeout=10) as answer:  # a URL of our own
        return json.load(answer)


def load(url: str, **options: Any) -> dict[str, float]:
    """What the load program measured."""
    command = [sys.executable, __file__, json.dumps({"url": url, **options})]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def report(capsys: pytest.CaptureFixture[str], what: str, measured: str, goal: str) -> None:
    """Print one line, whatever pytest captures."""
    with capsys.disabled():
        print(f"\n  simulator: {what:<44} {measured:>34}   goal {goal}")


def test_200_streams_at_10_ms_keep_their_time_at_a_quarter_of_a_core(capsys: pytest.CaptureFixture[str]) -> None:
    ideal = TTFT + (TOKENS - 1) * ITL
    with simulator(ttft=TTFT, itl=ITL) as (url, _, _):
        load(url, streams=20, tokens=TOKENS, seconds=1.5, stream=True)
        call(url, "/sim/reset", "POST")
        measured = load(url, streams=STREAMS, tokens=TOKENS, seconds=8, stream=True)
        stats = call(url, "/sim/stats")
    error = measured["e2e_mean"] / ideal - 1
    busy = measured["elapsed"]
    report(capsys, f"{STREAMS} streams, e2e as the client sees it", f"{error:+.2%} of {ideal:.3f} s", "within 2 %")
    report(
        capsys,
        f"{STREAMS} streams, TTFT p50 / p99 of {TTFT} s",
        f"{measured['ttft_p50']:.4f} / {measured['ttft_p99']:.4f} s",
        "-",
    )
    report(capsys, f"{STREAMS} streams, core used", f"{stats['cpu_s'] / busy:.1%}", "<= 25 %")
    lateness = stats["lateness"]
    late = f"{lateness['late_p99_s'] * 1e3:.2f} ms, overloaded: {lateness['overloaded']}"
    report(capsys, "timer lateness p99", late, "not overloaded")
    assert measured["failed"] == 0
    assert measured["completed"] > STREAMS


def test_streamed_events_without_any_latency(capsys: pytest.CaptureFixture[str]) -> None:
    with simulator(itl=0) as (url, _, _):
        measured = load(url, streams=50, tokens=400, seconds=5, stream=True)
    rate = measured["completed"] * 400 / measured["elapsed"]
    report(capsys, "streamed events without latency, 50 streams", f"{rate:,.0f} events/s", ">= 40,000")
    assert measured["failed"] == 0


def test_whole_answers_without_any_latency(capsys: pytest.CaptureFixture[str]) -> None:
    with simulator(itl=0) as (url, _, _):
        measured = load(url, streams=50, tokens=1, seconds=5, stream=False)
    rate = measured["completed"] / measured["elapsed"]
    report(capsys, "whole answers without latency, 50 clients", f"{rate:,.0f} requests/s", ">= 10,000")
    assert measured["failed"] == 0


def test_start_and_memory(capsys: pytest.CaptureFixture[str]) -> None:
    starts = []
    for _ in range(5):
        with simulator() as (_, _, seconds):
            starts.append(seconds)
    report(capsys, "start until it listens, median of 5", f"{statistics.median(starts):.3f} s", "< 0.3 s")
    with simulator(itl=0.001) as (url, pid, _):
        idle = resident(pid)
        measured = load(url, streams=STREAMS, tokens=TOKENS, seconds=3, stream=True)
        busy = resident(pid)
    report(capsys, f"memory idle / after {STREAMS} streams", f"{idle:.1f} / {busy:.1f} MiB", "< 40 MiB")
    assert measured["failed"] == 0


def resident(pid: int) -> float:
    """Resident memory in MiB; 0 where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


class Client(asyncio.Protocol):
    """One closed-loop client on one connection: the next request when the last is answered."""

    def __init__(self, request: bytes, end: bytes, until: float, results: Results) -> None:
        self.request = request
        self.end = end
        self.until = until
        self.results = results
        self.tail = b""
        self.started = 0.0
        self.first = 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.started, self.first, self.tail = time.perf_counter(), 0.0, b""
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.first and b"data: " in data:
            self.first = time.perf_counter()
        # An answer's end may be split over two reads.
        self.tail = (self.tail + data)[-64:] if len(data) < 64 else data[-64:]
        if not self.tail.endswith(self.end):
            return
        now = time.perf_counter()
        self.results.e2e.append(now - self.started)
        self.results.ttft.append(self.first - self.started)
        if now < self.until:
            self.ask()
        else:
            self.done.set_result(None)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.results.failed += 1
            self.done.set_result(None)


class Results:
    """What all clients measured, seconds."""

    def __init__(self) -> None:
        self.e2e: list[float] = []
        self.ttft: list[float] = []
        self.failed = 0


async def send_load(options: dict[str, Any]) -> dict[str, float]:
    """Run ``streams`` clients for ``seconds``, begun one after the other over the time of one answer."""
    loop, results = asyncio.get_running_loop(), Results()
    host, port = options["url"].removeprefix("http://").split(":")
    whole = {"prompt": PROMPT, "max_tokens": options["tokens"], "ignore_eos": True, "stream": options["stream"]}
    body = json.dumps(whole).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    request = head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body
    end = b"0\r\n\r\n" if options["stream"] else b"}"
    began = time.perf_counter()
    clients = []
    for _ in range(options["streams"]):
        _, client = await loop.create_connection(
            lambda: Client(request, end, began + options["seconds"], results), host, int(port)
        )
        clients.append(client)
        await asyncio.sleep(1 / options["streams"] if options["stream"] else 0)
    await asyncio.gather(*(client.done for client in clients))
    quantiles = statistics.quantiles(results.ttft, n=100)
    return {
        "completed": len(results.e2e),
        "failed": results.failed,
        "elapsed": time.perf_counter() - began,
        "e2e_mean": statistics.fmean(results.e2e),
        "ttft_p50": quantiles[49],
        "ttft_p99": quantiles[98],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(send_load(json.loads(sys.argv[1])))))
