"""How xdist workers borrow stacks: a local socket between each worker and the pool in the controller.

Messages are JSON, never pickles: one request, one answer. The end of a connection is the end of its worker.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import LlmdError, StandupError
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.pool import StackPool
from pytest_llmdbench.stacks.processes import end_all, mark
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

#: Where a worker finds the broker, and what it proves itself with; strings, to travel as xdist's ``workerinput``.
Address = dict[str, str]

#: How often a wait looks whether the other side is still there, in seconds.
_LOOK_S: Final = 0.5
#: What :meth:`Broker.close` gives the load processes of all workers to end, in seconds.
_CLOSE_S: Final = 15.0


class Broker:
    """The controller's side: serves the pool to workers, a thread for each."""

    def __init__(self, pool: StackPool, say: Say) -> None:
        self._pool = pool
        self._say = say
        self._key = secrets.token_bytes(16)
        # TCP, for a socket file would outlive a killed run. The key is asked for in the worker's own thread: a stranger
        # who connects and says nothing keeps nobody else out.
        self._listener = Listener(("127.0.0.1", 0))
        self._host, self._port = self._listener.address
        self._gone: set[str] = set()
        self._closed = threading.Event()
        self._interrupted = False
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, name="llmdbench-broker", daemon=True).start()

    @property
    def address(self) -> Address:
        """What a worker is told."""
        return {"host": self._host, "port": str(self._port), "key": self._key.hex()}

    def gone(self, worker: str) -> None:
        """A worker is known to have ended, even if something that it left keeps its connection open."""
        self._gone.add(worker)

    def close(self, *, interrupted: bool = False) -> None:
        """End every connection and what workers left running; whoever waits for a stack is told that there is none.

        What was left running is named, but for an interrupted run: there it is nobody's mistake.
        """
        if self._closed.is_set():
            return
        self._interrupted = interrupted
        self._closed.set()
        with contextlib.suppress(OSError):  # closing a listener does not wake the thread that accepts
            socket.create_connection((self._host, self._port), timeout=1).close()
        for thread in self._threads:
            thread.join(_CLOSE_S)

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                continue  # a connection that was given up before it was accepted
            if self._closed.is_set():
                connection.close()
                self._listener.close()
                return
            threading.Thread(target=self._serve, args=(connection,), name="llmdbench-worker", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            worker = str(_read(connection)["worker"])
        except (AuthenticationError, EOFError, OSError, ValueError, KeyError):
            connection.close()
            return
        self._threads.append(threading.current_thread())
        try:
            methods: Mapping[str, Callable[..., Any]] = {
                "plan": lambda cases: self._pool.plan({case: StackSpec(**spec) for case, spec in cases.items()}),
                "acquire": lambda key: asdict(self._acquire(key, worker, connection)),
                "release": lambda key: self._pool.release(key, worker),
                "reset": self._pool.reset,
                "scrape": lambda key, interval_s, folder: self._pool.scrape(key, interval_s, Path(folder)),
                "so_far": self._pool.so_far,
                "observe": self._pool.observe,
                "trouble": self._pool.trouble,
                "say": lambda line: self._say(f"[{worker}] {line}"),
            }
            while True:
                self._wait(worker, connection)
                request = _read(connection)
                answer: dict[str, Any] = {"number": request["number"]}
                try:
                    answer["answer"] = methods[request["method"]](*request["arguments"])
                except LlmdError as error:
                    answer["error"] = str(error)
                except EOFError:
                    raise
                except Exception as error:  # a deployment's mistake is that case's error, not the end of the worker
                    answer["error"] = f"{request['method']}: {error!r}"
                _write(connection, answer)
        except (EOFError, OSError):
            pass
        finally:
            # The worker is gone. What it was sending is ended before anyone else gets the stack.
            connection.close()
            # A program that has just been started does not show its environment at once: looked for twice.
            left = end_all(mark(), worker, looks=2)
            self._pool.drop(worker)
            if not self._interrupted:
                for line in left:
                    self._say(f"[{worker}] this was left running, and is ended now: {line}")

    def _acquire(self, key: str, worker: str, connection: Connection) -> Endpoint:
        while (endpoint := self._pool.try_acquire(key, worker, _LOOK_S)) is None:
            if self._ended(worker):
                raise EOFError
            if connection.poll():  # its end, or the next request: nobody waits for this answer any more
                raise StandupError(f"stack {key}: {worker} does not wait for it any more")
        return endpoint

    def _wait(self, worker: str, connection: Connection) -> None:
        while not connection.poll(_LOOK_S):
            if self._ended(worker):
                raise EOFError

    def _ended(self, worker: str) -> bool:
        return self._closed.is_set() or worker in self._gone


class RemotePool:
    """The worker's side: the pool's methods, answered by the controller. The borrower is this worker.

    Every method raises StandupError where the pool would, and when the controller is gone.
    """

    def __init__(self, address: Address, worker: str) -> None:
        self._lock = threading.Lock()
        self._number = 0
        try:
            self._connection = Client((address["host"], int(address["port"])), authkey=bytes.fromhex(address["key"]))
            _write(self._connection, {"worker": worker})
        except (OSError, EOFError) as error:
            raise StandupError(f"no stacks for {worker}: the controller does not answer ({error!r})") from error

    def plan(self, cases: Mapping[str, StackSpec]) -> None:
        """See :meth:`StackPool.plan`."""
        self._call("plan", {case: asdict(spec) for case, spec in cases.items()})

    def acquire(self, key: str) -> Endpoint:
        """See :meth:`StackPool.acquire`."""
        try:
            return Endpoint(**self._call("acquire", key))
        except LlmdError:
            raise
        except BaseException:
            # Interrupted while it waited (Ctrl-C, a timeout plugin): the answer may be on its way all the same.
            with contextlib.suppress(OSError), self._lock:
                self._send("release", key)
            raise

    def release(self, key: str) -> None:
        """See :meth:`StackPool.release`."""
        self._call("release", key)

    def reset(self, key: str) -> str | None:
        """See :meth:`StackPool.reset`."""
        answer: str | None = self._call("reset", key)
        return answer

    def scrape(self, key: str, interval_s: float, folder: Path) -> None:
        """See :meth:`StackPool.scrape`; the folder is the controller's as well."""
        self._call("scrape", key, interval_s, str(folder.absolute()))

    def so_far(self, key: str) -> Mapping[str, Any]:
        """See :meth:`StackPool.so_far`."""
        answer: Mapping[str, Any] = self._call("so_far", key)
        return answer

    def observe(self, key: str) -> Mapping[str, Any]:
        """See :meth:`StackPool.observe`."""
        answer: Mapping[str, Any] = self._call("observe", key)
        return answer

    def trouble(self, key: str) -> str | None:
        """See :meth:`StackPool.trouble`."""
        answer: str | None = self._call("trouble", key)
        return answer

    def say(self, line: str) -> None:
        """Show one line on the controller's terminal."""
        self._call("say", line)

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            with self._lock:
                number = self._send(method, *arguments)
                answer = {"number": None}
                while answer["number"] != number:  # the answer to an interrupted call is nobody's
                    while not self._connection.poll(_LOOK_S):
                        pass
                    answer = _read(self._connection)
        except (EOFError, OSError) as error:
            raise StandupError(f"{method}: the controller is gone, or ending ({error!r})") from error
        if "error" in answer:
            raise StandupError(answer["error"])
        return answer["answer"]

    def _send(self, method: str, *arguments: Any) -> int:
        self._number += 1
        _write(self._connection, {"number": self._number, "method": method, "arguments": arguments})
        return self._number


def _read(connection: Connection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv_bytes())
    return message


def _write(connection: Connection, message: Mapping[str, Any]) -> None:
    connection.send_bytes(json.dumps(message, default=str).encode())
