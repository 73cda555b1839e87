"""An HTTP server between a client and a real API server, that does what API servers and load balancers do at times."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import urllib3

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster

GONE: Final = b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n'


class FaultyProxy:
    """``fault`` is what happens to requests while it is set.

    Watches are cut off in the middle of an event (``drop``), told 410 as an event (``gone``) or as a status
    (``expired``), or refused with 403 (``forbidden``); ``busy``: every request is answered with 429. ``lists`` and
    ``watches`` count requests.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.fault: str | None = None
        self.lists = self.watches = 0
        settings = cluster.configuration
        self._upstream = settings.host
        self._pool = urllib3.PoolManager(
            ca_certs=settings.ssl_ca_cert, cert_file=settings.cert_file, key_file=settings.key_file, retries=False
        )
        self._headers = {"Authorization": settings.api_key["authorization"]} if settings.api_key else {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._pool.clear()

    def client(self, cluster: Cluster) -> Cluster:
        """A client of the same namespace whose requests go through this proxy."""
        through = Cluster(namespace=cluster.namespace)
        through.configuration.host = self.url
        return through

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler below has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                watch = "watch=true" in self.path.lower()
                proxy.watches += watch
                proxy.lists += not watch
                if proxy.fault == "busy":
                    self._say(429, {"Retry-After": "1"}, b'{"kind":"Status","message":"too many requests"}')
                elif watch and proxy.fault in ("expired", "forbidden"):
                    self._say(410 if proxy.fault == "expired" else 403, {}, b'{"kind":"Status","message":"refused"}')
                elif watch and proxy.fault == "gone":
                    self._say(200, {}, GONE)
                else:
                    with contextlib.suppress(OSError, urllib3.exceptions.HTTPError):
                        self._pass_on(watch)

            do_POST = do_PATCH = do_DELETE = do_PUT = do_GET  # noqa: N815 - the server's names

            def _pass_on(self, watch: bool) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                kept = {key: self.headers[key] for key in ("Accept", "Content-Type") if key in self.headers}
                answer = proxy._pool.request(
                    self.command, proxy._upstream + self.path, body=self.rfile.read(length) if length else None,
                    headers=kept | proxy._headers, preload_content=False, timeout=60.0,
                )  # fmt: skip
                try:
                    if not watch:
                        self._say(answer.status, {}, answer.read())
                        return
                    self.send_response(answer.status)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for part in answer.stream(amt=None):
                        kept_part = part[: len(part) // 2] if proxy.fault == "drop" else part
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(kept_part), kept_part))
                        if proxy.fault == "drop":
                            break
                finally:
                    answer.close()
                    self.close_connection = True

            def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for key, value in {**headers, "Content-Type": "application/json"}.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing: a test's output is about the test."""

        return Handler


@contextlib.contextmanager
def faulty_proxy(cluster: Cluster) -> Iterator[FaultyProxy]:
    """One, until the end of the block."""
    proxy = FaultyProxy(cluster)
    try:
        yield proxy
    finally:
        proxy.close()
