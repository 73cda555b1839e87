"""How xdist workers borrow stacks: a local socket between each worker and the pool in the controller.

Messages are JSON, never pickles: one request, one answer. The end of a connection is the end of its worker.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Final

from pytest_llmdbench.errors import LlmdError, StandupError
from pytest_llmdbench.stacks.deployment import Say
from pytest_llmdbench.stacks.pool import StackPool
from pytest_llmdbench.stacks.processes import end_all, mark, survivors
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

#: Where a worker finds the broker, and what it proves itself with; strings, to travel as xdist's ``workerinput``.
Address = dict[str, str]


class Broker:
    """The controller's side: serves the pool to workers, a thread for each."""

    def __init__(self, pool: StackPool, say: Say) -> None:
        self._pool = pool
        self._say = say
        key = os.urandom(16)
        self._listener = Listener(authkey=key)
        self.address: Address = {"socket": json.dumps(self._listener.address), "key": key.hex()}
        threading.Thread(target=self._accept, name="llmdbench-broker", daemon=True).start()

    def close(self) -> None:
        """Accept no more workers."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return  # closed
            except Exception:  # noqa: S112 - somebody without the key; the next one may have it
                continue
            threading.Thread(target=self._serve, args=(connection,), name="llmdbench-worker", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        worker = ""
        try:
            worker = str(_receive(connection)["worker"])
            methods: Final[dict[str, Callable[..., Any]]] = {
                "plan": lambda cases: self._pool.plan({case: StackSpec(**spec) for case, spec in cases.items()}),
                "acquire": lambda key: asdict(self._pool.acquire(key, worker)),
                "release": lambda key: self._pool.release(key, worker),
                "reset": self._pool.reset,
                "observe": self._pool.observe,
                "say": lambda line: self._say(f"[{worker}] {line}"),
            }
            while True:
                request = _receive(connection)
                try:
                    answer = {"answer": methods[request["method"]](*request["arguments"])}
                except LlmdError as error:
                    answer = {"error": str(error)}
                connection.send_bytes(json.dumps(answer, default=str).encode())
        except (EOFError, OSError):
            pass
        finally:
            # The worker is gone. What it was sending is ended before anyone else gets the stack.
            if worker:
                end_all(survivors(mark(), worker))
                self._pool.drop(worker)


class RemotePool:
    """The worker's side: the pool's methods, answered by the controller."""

    def __init__(self, address: Address, worker: str) -> None:
        socket = json.loads(address["socket"])
        place = tuple(socket) if isinstance(socket, list) else socket
        self._connection = Client(place, authkey=bytes.fromhex(address["key"]))
        self._lock = threading.Lock()
        self._connection.send_bytes(json.dumps({"worker": worker}).encode())

    def plan(self, cases: Mapping[str, StackSpec]) -> None:
        """See :meth:`StackPool.plan`."""
        self._call("plan", {case: asdict(spec) for case, spec in cases.items()})

    def acquire(self, key: str) -> Endpoint:
        """See :meth:`StackPool.acquire`; the borrower is this worker."""
        return Endpoint(**self._call("acquire", key))

    def release(self, key: str) -> None:
        """See :meth:`StackPool.release`."""
        self._call("release", key)

    def reset(self, key: str) -> None:
        """See :meth:`StackPool.reset`."""
        self._call("reset", key)

    def observe(self, key: str) -> Mapping[str, Any]:
        """See :meth:`StackPool.observe`."""
        answer: Mapping[str, Any] = self._call("observe", key)
        return answer

    def say(self, line: str) -> None:
        """Show one line on the controller's terminal."""
        self._call("say", line)

    def _call(self, method: str, *arguments: Any) -> Any:
        with self._lock:
            self._connection.send_bytes(json.dumps({"method": method, "arguments": arguments}, default=str).encode())
            answer = _receive(self._connection)
        if "error" in answer:
            raise StandupError(answer["error"])
        return answer["answer"]


def _receive(connection: Connection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(connection.recv_bytes())
    return message
