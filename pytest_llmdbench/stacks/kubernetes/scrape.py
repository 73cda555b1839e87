"""Scrapes the metrics of pods from inside the cluster: a round is one command in the anchor's container."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Final

from pytest_llmdbench.results.server_metrics.scraped import Scrape, Target
from pytest_llmdbench.stacks.kubernetes.anchor_job import CONTAINER
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.exporters import exporters
from pytest_llmdbench.stacks.kubernetes.scrape_targets import ScrapeTarget
from pytest_llmdbench.stacks.kubernetes.streams import run_in
from pytest_llmdbench.stacks.scrape_http import ACCEPT, MOST_BYTES, SECONDS

#: Seconds for which an API server that does not answer is asked again: the next round is soon.
_PATIENCE_S: Final = 5.0
#: Bytes that all targets may say together, compressed: the container has little memory, and a run hangs on it.
_MOST_BYTES: Final = 16 << 20
#: Runs there. Where to ask comes as an argument, as JSON; the answers go out the same way, each text compressed.
_SCRIPT: Final = """
import base64, http.client, json, sys, time, urllib.error, urllib.request, zlib
from concurrent.futures import ThreadPoolExecutor
asked = json.loads(sys.argv[1])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
seconds, begun, left = asked["seconds"], time.monotonic(), [asked["all_bytes"]]
def one(url):
    if time.monotonic() > begun + 2 * seconds:
        return None, "no time was left to ask it"
    deadline, said = time.monotonic() + seconds, bytearray()
    request = urllib.request.Request(url, headers={"Accept": asked["accept"]})
    with opener.open(request, timeout=seconds) as answer:
        while piece := answer.read1(65536):
            said += piece
            if len(said) > asked["bytes"]:
                return None, "its answer is too long"
            if time.monotonic() > deadline:
                return None, "its answer took too long"
        if answer.length:
            return None, "it was cut short"
    packed = base64.b64encode(zlib.compress(said, 1))
    left[0] -= len(packed)
    return (packed.decode(), None) if left[0] > 0 else (None, "all together say too much")
def told(url):
    try:
        text, error = one(url)
    except urllib.error.HTTPError as refused:
        text, error = None, "it answers %s %s" % (refused.code, refused.reason)
    except (OSError, ValueError, http.client.HTTPException) as silent:
        text, error = None, str(silent) or repr(silent)
    return time.time(), text, error
with ThreadPoolExecutor(16) as several:
    json.dump(list(several.map(told, asked["urls"])), sys.stdout)
"""


class InsideLook:
    """One round after the other, asked for by the container of the anchor ``pod``.

    ``find`` gives the targets that are there at the moment, and the nodes whose GPUs they use; what tells of those is
    found once. Called, it gives what all of them said, or raises ClusterError.
    """

    def __init__(
        self, cluster: Cluster, pod: str, find: Callable[[Cluster], tuple[Sequence[ScrapeTarget], frozenset[str]]]
    ) -> None:
        self._cluster = cluster.impatient(_PATIENCE_S)
        self._pod = pod
        self._find = find
        self._exporters: dict[frozenset[str], Sequence[Target]] = {}

    def __call__(self) -> list[Scrape]:
        """One round."""
        found, nodes = self._find(self._cluster)
        if nodes not in self._exporters:
            self._exporters[nodes] = exporters(self._cluster, nodes) if nodes else ()
        everyone = [*found, *((one, None) for one in self._exporters[nodes])]
        if not everyone:
            return []
        asked = {"urls": [target.url for target, _ in everyone], "seconds": SECONDS, "accept": ACCEPT}
        asked |= {"bytes": MOST_BYTES, "all_bytes": _MOST_BYTES}
        argv = ["python3", "-c", _SCRIPT, json.dumps(asked)]
        done = run_in(self._cluster, self._pod, CONTAINER, argv, silence_s=4 * SECONDS + _PATIENCE_S)
        if done.code:
            raise ClusterError(f"metrics could not be read from {self._pod}: {done.err.strip()[-300:]}")
        return [
            Scrape(target, float(at), _text(packed), error, restarts)
            for (target, restarts), (at, packed, error) in zip(everyone, json.loads(done.out), strict=True)
        ]


def _text(packed: str | None) -> str | None:
    return None if packed is None else zlib.decompress(base64.b64decode(packed)).decode("utf-8", errors="replace")
