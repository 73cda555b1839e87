"""Scrapes metrics over HTTP from this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from pytest_llmdbench.results.server_metrics.scraped import Look, Scrape, Target

#: Seconds that one target may take, and the bytes that it may say.
SECONDS: Final = 5.0
MOST_BYTES: Final = 4 << 20
#: The form of text that is asked for: others cost a server more.
ACCEPT: Final = "text/plain; version=0.0.4"
_PIECE: Final = 1 << 16


def from_here(targets: Sequence[Target]) -> Look:
    """Scrapes these targets from this machine, one after the other."""
    from urllib.request import ProxyHandler, build_opener

    # Load programs go to the server straight, whatever proxies are set; so does this.
    http = build_opener(ProxyHandler({}))
    return lambda: [_scrape(http, one) for one in targets]


def _scrape(http: Any, target: Target) -> Scrape:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request

    deadline = time.monotonic() + SECONDS
    try:
        request = Request(target.url, headers={"Accept": ACCEPT})  # noqa: S310 - where the load goes as well
        with http.open(request, timeout=SECONDS) as answer:
            return Scrape(target, time.time(), _all(answer, deadline))
    except HTTPError as error:
        with error:
            return Scrape(target, time.time(), error=f"it answers {error.code} {error.reason}")
    except (OSError, ValueError, HTTPException) as error:
        return Scrape(target, time.time(), error=str(error) or repr(error))


def _all(answer: Any, deadline: float) -> str:
    """What a server says, unless it never ends. Raises ValueError."""
    pieces, size = [], 0
    while piece := answer.read1(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise ValueError(f"its answer is longer than {MOST_BYTES >> 20} MiB")
        if time.monotonic() > deadline:
            raise ValueError(f"its answer took longer than {SECONDS:.0f} s")
    if answer.length:  # bytes that were promised and did not come
        raise ValueError("it was cut short")
    return b"".join(pieces).decode("utf-8", errors="replace")
