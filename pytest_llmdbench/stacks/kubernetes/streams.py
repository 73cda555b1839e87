"""Commands run inside pods, and ports of pods on this machine. Each stream is a connection of its own."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError

#: Seconds that a command in a pod may stay silent before it is given up.
SILENCE_S: Final = 60.0
#: Refusals that may be others in a moment.
_PASSING: Final = (429, 500, 502, 503, 504)
#: What the first byte of a message says it is.
_OUT, _ERR, _STATUS = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended: its exit code, and what it wrote."""

    code: int
    out: bytes
    err: str


def run_in(cluster: Cluster, pod: str, container: str, argv: Sequence[str], *, silence_s: float = SILENCE_S) -> Done:
    """Run a command in a container and wait for its end. Raises ClusterError if it could not be run."""
    said: list[str] = []
    ended: list[int] = []
    out = b"".join(stream_from(cluster, pod, container, argv, errors=said, ended=ended, silence_s=silence_s))
    return Done(ended[0], out, "".join(said))


def stream_from(
    cluster: Cluster, pod: str, container: str, argv: Sequence[str], *, errors: list[str], ended: list[int],
    silence_s: float = SILENCE_S,
) -> Iterator[bytes]:  # fmt: skip
    """What a command in a container writes, as it comes; then ``ended`` holds its exit code.

    What it says on standard error is added to ``errors``.

    Raises:
        ClusterError: it could not be run, stayed silent for too long, or the connection broke before its end.
    """
    what = f"run {argv[0]} in {pod}/{container}"
    query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", word) for word in argv)]
    stream = _open(cluster, f"pods/{pod}/exec", query, what)
    status = b""
    try:
        for channel, data in _frames(stream, what, silence_s):
            if channel == _OUT:
                yield data
            elif channel == _ERR:
                errors.append(data.decode("utf-8", errors="replace"))
            elif channel == _STATUS:
                status += data
    finally:
        with contextlib.suppress(Exception):
            stream.shutdown()
    ended.append(_exit_code(status, what))


def _frames(stream: Any, what: str, silence_s: float) -> Iterator[tuple[int, bytes]]:
    """Channel and content of each message until the other side closes.

    The client library's own reader joins what has come into one growing text, which takes minutes for 200 MB.
    """
    from websocket import ABNF, WebSocketConnectionClosedException, WebSocketException, WebSocketTimeoutException

    stream.settimeout(silence_s)
    try:
        while True:
            kind, message = stream.recv_data_frame(True)
            if kind == ABNF.OPCODE_CLOSE:
                return
            if kind in (ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT) and message.data:
                yield message.data[0], message.data[1:]
    except WebSocketTimeoutException as error:
        raise ClusterError(f"could not {what}: nothing came for {silence_s:.0f} s") from error
    except WebSocketConnectionClosedException:
        return  # without an exit status it is told from a good end
    except (WebSocketException, OSError) as error:
        raise ClusterError(f"could not {what}: the connection broke: {error}") from error


class Forward:
    """A port of a pod on this machine, until :meth:`close`; each connection is a stream of its own."""

    def __init__(self, cluster: Cluster, pod: str, port: int) -> None:
        self._cluster, self._pod, self._port = cluster, pod, port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name=f"forward-{pod}", daemon=True).start()

    def close(self) -> None:
        """Stop listening. Safe to call twice."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        from kubernetes.stream.ws_client import portforward_call

        try:
            path, query = f"pods/{self._pod}/portforward", [("ports", str(self._port))]
            url, headers = _address(self._cluster, path, query)
            with connection:
                far = portforward_call(
                    self._cluster.configuration, "GET", url, headers=headers, query_params=query
                ).socket(self._port)
                # A request whose other side is gone must not hang until the client's own limit.
                far.setblocking(True)
                back = threading.Thread(target=_pump, args=(far, connection), daemon=True)
                back.start()
                _pump(connection, far)
                back.join(REQUEST_END_S)
        except Exception:  # a broken connection is the client's to report: it sees its end of it close
            connection.close()


#: Seconds that the answer may still take once the client has said all.
REQUEST_END_S: Final = 600.0


def _pump(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _address(cluster: Cluster, path: str, query: Sequence[tuple[str, str]]) -> tuple[str, dict[str, str]]:
    return cluster.address(f"/api/v1/namespaces/{cluster.namespace}/{path}", query)


def _open(cluster: Cluster, path: str, query: Sequence[tuple[str, str]], what: str) -> Any:
    """A stream, tried again while the API server does not answer."""
    from kubernetes.stream.ws_client import create_websocket, get_websocket_url
    from websocket import WebSocketException

    began, pause = time.monotonic(), 0.2
    while True:
        url, headers = _address(cluster, path, query)
        try:
            return create_websocket(cluster.configuration, get_websocket_url(url), headers)
        except (WebSocketException, OSError) as error:
            # A handshake that was answered is an answer: no right, no such pod, no such container.
            status, reason = _refusal(str(error))
            refused = status and (status not in _PASSING or "container not found" in reason)
            if refused or time.monotonic() - began > cluster.patience_s:
                raise ClusterError(f"could not {what}: {reason}", status) from error
        time.sleep(pause)
        pause = min(pause * 1.6, 3.0)


def _refusal(text: str) -> tuple[int, str]:
    """HTTP status (0 where nobody answered) and reason, from the client library's words for a failed handshake."""
    status, *_, body = text.split(" -+-+- ")
    found = re.match(r"Handshake status (\d+)", status)
    if found is None:
        return 0, (text.splitlines() or ["no answer"])[0][:300]
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return int(found[1]), str(json.loads(body)["message"])
    return int(found[1]), body.strip()[:300]


def _exit_code(status: bytes, what: str) -> int:
    if not status:
        raise ClusterError(f"could not {what}: the connection ended before the command did")
    told = json.loads(status)
    if told.get("status") == "Success":
        return 0
    causes = (told.get("details") or {}).get("causes") or []
    for cause in causes:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise ClusterError(f"could not {what}: {told.get('message', told)}")
