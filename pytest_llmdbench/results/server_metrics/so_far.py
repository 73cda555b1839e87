"""What servers have counted of single requests' times since a load began, while it still runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pytest_llmdbench.results.server_metrics.buckets import together
from pytest_llmdbench.results.server_metrics.names import METRICS
from pytest_llmdbench.results.server_metrics.summary import Watched

#: The histograms that hold a value a request.
BY_REQUEST: Final = tuple(one for one in METRICS if one.canonical in ("ttft", "tpot", "e2e"))
#: Where prefill and decode are apart both count a request; this one sees the whole of it.
_DECODE: Final = "decode"


def histograms(watched: Iterable[Watched]) -> dict[str, dict[str, Any]]:
    """Canonical name -> ``count`` and ``buckets`` (edge in seconds, observations not above it), of all servers.

    What is not known, or has other edges at one server than at the next, is absent.
    """
    servers = list(watched)
    decoding = [one for one in servers if one.target.role == _DECODE]
    found: dict[str, dict[str, Any]] = {}
    for metric in BY_REQUEST:
        parts = [
            series.buckets
            for one in decoding or servers
            for series in one.window.series(metric)
            if series.buckets is not None
        ]
        whole = together(parts)
        if whole is not None:
            buckets: Sequence[Any] = [[edge, reached] for edge, reached in whole.reached.items()]
            found[metric.canonical] = {"count": whole.count, "buckets": buckets}
    return found
