"""Questions to a server on this machine, in JSON: never through a proxy."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: One question may take this long, in seconds.
REQUEST_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server on this machine; ``url`` is its base.

    Both questions raise OSError where it does not answer, or answers with an error, and ValueError for what is no JSON.
    """

    url: str

    def get(self, path: str, seconds: float = REQUEST_S) -> dict[str, Any]:
        """What it answers; an empty answer is an empty object."""
        return self._ask(urllib.request.Request(self.url + path), seconds)  # noqa: S310 - our own server

    def post(self, path: str, body: Mapping[str, Any], seconds: float = REQUEST_S) -> dict[str, Any]:
        """The same, for a question with a body."""
        text, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
        return self._ask(urllib.request.Request(self.url + path, text, kind), seconds)  # noqa: S310

    @staticmethod
    def _ask(request: urllib.request.Request, seconds: float) -> dict[str, Any]:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=seconds) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(2000).decode("utf-8", errors="replace").strip()
            raise ServerError(error.code, f"{error.code} {error.reason}: {said}" if said else str(error)) from error
        data = json.loads(text) if text.strip() else {}
        if not isinstance(data, dict):
            raise ValueError(f"{request.full_url} answered no object: {text[:100]!r}")  # noqa: TRY004
        return data


class ServerError(OSError):
    """An answer with an HTTP error status, and what it said."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def ready_trouble(server: Server, model: str, seconds: float = REQUEST_S) -> str | None:
    """What is wrong with one real completion; None where it came back with a token.

    Only that tells whether an engine serves: ``/health`` is well on some that die of their first request.
    """
    try:
        answer = server.post("/v1/completions", {"model": model, "prompt": "are you ready", "max_tokens": 1}, seconds)
    except (OSError, ValueError) as error:
        return f"a completion failed: {error}"
    usage = answer.get("usage")
    if not isinstance(usage, dict) or not usage.get("completion_tokens"):
        return "a completion came back without a token"
    return None
