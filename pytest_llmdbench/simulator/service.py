"""Running a simulated server as a process: event loop, port, signals, and the line that says where it listens."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import select
import selectors
import signal
import sys

from pytest_llmdbench.simulator.api import Api
from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.http1 import Connection
from pytest_llmdbench.simulator.server import Server

BACKLOG = 4096


def serve(config: SimulatorConfig, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises ``OSError`` when the port cannot be had."""
    _allow_many_connections()
    with asyncio.Runner(loop_factory=_event_loop) as runner:
        runner.run(_serve(config, host, port))


async def _serve(config: SimulatorConfig, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if config.faults.startup_s:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), config.faults.startup_s)
            return
    server = Server(config, loop)
    handle = Api(server).handle
    listener = await loop.create_server(
        lambda: Connection(handle, loop.time, server.connections), host, port, backlog=BACKLOG
    )
    server.begin_faults(config.faults)
    # What exists now stays for ever: the collector need not look at it again in the middle of a step.
    gc.freeze()
    address = listener.sockets[0].getsockname()
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    ready = {"event": "listening", "url": f"http://{shown}:{address[1]}", "pid": os.getpid()}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await stop.wait()
    listener.close()
    server.close()


def _event_loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(_FineSelector()) if sys.platform == "linux" else asyncio.new_event_loop()


def _allow_many_connections() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # not on every platform

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if sys.platform == "linux":

    class _FineSelector(selectors.EpollSelector):
        """epoll rounds timeouts up to whole milliseconds; ``select`` on epoll's own descriptor does not."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)
