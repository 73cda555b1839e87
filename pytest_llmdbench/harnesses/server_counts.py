"""How many requests the server has answered since the load began, from its ``/metrics``: for progress lines only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: Seconds that one look may take: a busy server must not hold up the watch over the load.
PATIENCE_S: Final = 2.0

#: vLLM counts what it answered in full, by reason; its web server (where it is asked to) every answer, by status class.
_DONE: Final = re.compile(r"^vllm:request_success_total(?:\{[^}]*\})? (\S+)", re.MULTILINE)
_COUNTS_ANSWERS: Final = "\nhttp_requests_total{"
_REFUSED: Final = re.compile(r'^http_requests_total\{(?=[^}]*/v1/)[^}]*status="[45][^}]*\} (\S+)', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests answered in full, and with an HTTP error; None where the server does not say."""

    done: int | None = None
    refused: int | None = None


class ServerCounts:
    """Counts from now on, of the server at ``url`` (the base without ``/v1``)."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/metrics"
        self._before = self._read()

    def look(self) -> Counts:
        """What was answered since; empty where the server has no metrics or did not answer in time."""
        now = self._read()
        return Counts(_since(now.done, self._before.done), _since(now.refused, self._before.refused))

    def _read(self) -> Counts:
        from urllib.request import ProxyHandler, build_opener

        try:
            # Load programs go to the server straight, whatever proxies are set; so does this.
            with build_opener(ProxyHandler({})).open(self._url, timeout=PATIENCE_S) as answer:
                text = answer.read().decode("utf-8", errors="replace")
        except (OSError, ValueError):
            return Counts()
        refused = _total(_REFUSED.findall(text))
        # A server that counts its answers has no line for refusals until there is one.
        return Counts(_total(_DONE.findall(text)), 0 if refused is None and _COUNTS_ANSWERS in text else refused)


def _total(values: Iterable[str]) -> int | None:
    try:
        numbers = [float(value) for value in values]
        return int(sum(numbers)) if numbers else None
    except (ValueError, OverflowError):
        return None


def _since(now: int | None, before: int | None) -> int | None:
    # A counter that was not there before starts at 0; one that went back was restarted with its server.
    return None if now is None else max(0, now - (before or 0))
