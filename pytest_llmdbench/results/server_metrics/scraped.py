"""What is scraped, and what one scrape of it gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One server that offers metrics.

    ``label`` is unique in a stack and what people read; ``role`` is the stack's word for what it does (``server``,
    ``decode``, ``picker``, ``gpu``); ``pod`` its pod's name. ``url`` is where its metrics are, seen from where they are
    read.
    """

    label: str
    role: str
    url: str
    pod: str | None = None


@dataclass(frozen=True, slots=True)
class Scrape:
    """One try to read a target's metrics.

    ``at`` is when, in seconds since 1970; ``text`` what it said, or else ``error`` why there is none. ``restarts`` is
    how often the containers of its pod were restarted since the pod is there; None outside of a cluster.
    """

    target: Target
    at: float
    text: str | None = None
    error: str | None = None
    restarts: int | None = None


#: Scrapes every target once. What one of them does not say is told in its scrape; raises only where none can be asked.
Look = Callable[[], Sequence[Scrape]]
