"""HTTP/1.1 on one connection: reads one request after the other, and writes one answer after the other.

A request is handed over when it is complete; the next one on the same connection is read when it is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from pytest_llmdbench.simulator.api_error import ApiError, plain_status

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"


@dataclass(slots=True)
class HttpRequest:
    """A complete request; header names are lower-case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    received: float


@dataclass(slots=True)
class _Head:
    method: str
    target: str
    version: str
    headers: dict[str, str]
    length: int
    chunked: bool


class Connection(asyncio.Protocol):
    """One client. ``handle`` gets each request and answers now or later with ``respond`` or the stream methods."""

    def __init__(
        self, handle: Callable[[HttpRequest, Connection], None], clock: Callable[[], float], open_ones: set[Connection]
    ) -> None:
        self.write: Callable[[bytes], None] = lambda _: None
        self.on_lost: Callable[[], None] | None = None
        self.framed = True
        self._handle = handle
        self._clock = clock
        self._open_ones = open_ones
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head: _Head | None = None
        self._busy = self._reading = False
        self._keep_alive = self._wants_body = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio when a client has connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a stream server makes no other
        self._transport = transport
        self.write = transport.write
        self._open_ones.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Called by asyncio when the connection is gone: what is being answered is aborted."""
        self._open_ones.discard(self)
        self._transport = None
        self.write = lambda _: None
        lost, self.on_lost = self.on_lost, None
        if lost:
            lost()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio with what came in."""
        self._buffer += data
        if not self._busy:
            self._read()
        elif len(self._buffer) > MAX_BODY and self._transport:
            self._transport.pause_reading()

    def respond(
        self, status: int, body: bytes, content_type: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        """Send a whole answer and go on to the next request."""
        lines = [b"HTTP/1.1 %d %s\r\ncontent-length: %d\r\n" % (status, PHRASES[status], len(body))]
        if body:
            lines.append(b"content-type: %s\r\n" % content_type.encode())
        lines += [f"{name}: {value}\r\n".encode() for name, value in (headers or {}).items()]
        if not self._keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if self._wants_body:
            lines.append(body)
        self.write(b"".join(lines))
        self.end()

    def fail(self, error: ApiError) -> None:
        """Send an error as the answer."""
        self.respond(error.status, error.body(), headers=error.headers)

    def begin_stream(self) -> None:
        """Send the head of an event stream; its events follow with ``write``, framed as chunks if ``framed``."""
        framing = b"transfer-encoding: chunked\r\n" if self.framed else b""
        closing = b"" if self._keep_alive else b"connection: close\r\n"
        self.write(_STREAM_HEAD + framing + closing + b"\r\n")

    def end(self) -> None:
        """The answer is complete: go on to the next request, or close."""
        self._busy = False
        self.on_lost = None
        if self._transport is None:
            return
        if not self._keep_alive:
            self._transport.close()
        else:
            self._transport.resume_reading()
            if self._buffer and not self._reading:
                self._read()

    def cut(self) -> None:
        """Close at once, in the middle of an answer."""
        if self._transport:
            self._transport.abort()

    def _read(self) -> None:
        # A request that is answered at once ends inside this loop: ``_reading`` keeps ``end`` from recursing.
        self._reading = True
        try:
            while self._buffer and not self._busy and self._transport and self._take_request():
                pass
        except ApiError as error:
            self._busy = True
            self._keep_alive = False
            self._wants_body = True
            self.fail(error)
        finally:
            self._reading = False

    def _take_request(self) -> bool:
        """Hand over one request if a complete one is there."""
        if self._head is None:
            self._head = self._take_head()
        head = self._head
        if head is None:
            return False
        body = self._take_chunked_body() if head.chunked else self._take_sized_body(head.length)
        if body is None:
            return False
        self._head = None
        self._busy = True
        path, _, query = head.target.partition("?")
        request = HttpRequest(head.method, path, parse_qs(query) if query else {}, head.headers, body, self._clock())
        self._handle(request, self)
        return True

    def _take_head(self) -> _Head | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise plain_status(431)
            return None
        head = _parse_head(self._buffer[:end].decode("latin-1"))
        del self._buffer[: end + 4]
        wishes = head.headers.get("connection", "").lower()
        old = head.version == "HTTP/1.0"
        # HTTP/1.0 has no chunks: its streams end with the connection, and so do all its answers.
        self._keep_alive = not old and "close" not in wishes
        self._wants_body = head.method != "HEAD"
        self.framed = not old
        if head.headers.get("expect", "").lower() == "100-continue" and len(self._buffer) < max(1, head.length):
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return head

    def _take_sized_body(self, length: int) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < length:
            return None
        body = bytes(buffer[:length])
        del buffer[:length]
        return body

    def _take_chunked_body(self) -> bytes | None:
        """The body from its chunks, once the last one has come."""
        buffer, at, size = self._buffer, 0, 0
        parts: list[bytes] = []
        while True:
            line_end = buffer.find(b"\r\n", at)
            if line_end < 0:
                return None
            length = _chunk_size(bytes(buffer[at:line_end]))
            size += length
            if size > MAX_BODY:
                raise plain_status(413)
            begin = line_end + 2
            if not length:
                trailer_end = buffer.find(b"\r\n", begin)
                while trailer_end > begin:
                    begin = trailer_end + 2
                    trailer_end = buffer.find(b"\r\n", begin)
                if trailer_end < 0:
                    return None
                del buffer[: trailer_end + 2]
                return b"".join(parts)
            if len(buffer) < begin + length + 2:
                return None
            parts.append(bytes(buffer[begin : begin + length]))
            at = begin + length + 2


def _parse_head(text: str) -> _Head:
    first, *lines = text.lstrip("\r\n").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise plain_status(400)
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise plain_status(400)
        headers[name.lower()] = value.strip()
    coding = headers.get("transfer-encoding", "").lower()
    size = headers.get("content-length", "0")
    if coding not in ("", "chunked") or not (size.isascii() and size.isdigit()):
        raise plain_status(400)
    if int(size) > MAX_BODY:
        raise plain_status(413)
    return _Head(parts[0], parts[1], parts[2], headers, int(size), bool(coding))


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    try:
        if not digits or digits[:1] in b"+-":
            raise plain_status(400)
        return int(digits, 16)
    except ValueError:
        raise plain_status(400) from None
