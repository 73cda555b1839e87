"""What a stack's servers said over a load, as ``Result.server["metrics"]`` keeps it.

``interval_s``
    seconds between two scrapes.
``loaded``
    from when to when the servers were at work, seconds since 1970; gauges are summed up over it. Absent where nobody
    could tell.
``targets``
    every server that was asked: ``label``, ``role``, ``pod``, ``url``, ``scrapes`` (how many were read), ``restarts``
    (within the window), ``started`` (since when its process runs, where it says), and where some could not be read
    ``failed`` (how many) and ``error`` (why, the last one).
``components``
    what each said: ``aggregate`` maps a canonical name (:mod:`.names`) to its numbers over the window, ``series`` to
    its ``points`` (seconds since 1970, value; of a counter its increase so far). Series that differ in labels are
    kept apart in ``by``.
``totals``
    the stack as a whole, one number a name: ``preemptions``, ``prefix_cache_hit_rate``, ``running.max``, ``ttft.p99``,
    ``requests_finished.length``. Bounds of what is averaged over pods (``kv_cache_usage.max``) are of single pods.
``roles``
    the same for each role, where there are several: a prefill and a decode pod both count a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_llmdbench.results.server_metrics.buckets import together
from pytest_llmdbench.results.server_metrics.component import Component, gauge_facts
from pytest_llmdbench.results.server_metrics.names import AT_WORK, METRICS, RATES, Metric
from pytest_llmdbench.results.server_metrics.scraped import Target
from pytest_llmdbench.results.server_metrics.window import Series, Window

_CREDENTIALS: Final = re.compile(r"//[^/@]*@")
#: The role of a target that tells of the GPUs of a node, whoever uses them.
GPU: Final = "gpu"


@dataclass(slots=True)
class Watched:
    """A target and what was seen of it. ``restarts`` is of its pod's containers; ``error`` the last one."""

    target: Target
    window: Window = field(default_factory=Window)
    failed: int = 0
    error: str | None = None
    restarts: int = 0

    def to_json(self) -> dict[str, Any]:
        """As the result keeps it."""
        told: dict[str, Any] = {
            "label": self.target.label,
            "role": self.target.role,
            "pod": self.target.pod,
            "url": _CREDENTIALS.sub("//", self.target.url),
            "scrapes": self.window.scrapes,
            # A process that began anew within its container, or a container within its pod.
            "restarts": max(self.restarts, self.window.restarts),
        }
        if self.window.started is not None:
            told["started"] = self.window.started
        return {**told, "failed": self.failed, "error": self.error} if self.error is not None else told


def summary(watched: Sequence[Watched], interval_s: float) -> dict[str, Any]:
    """Everything that is known of the window, as JSON-able data; what is not known is absent."""
    components = list(_components(watched))
    rounds, times = _loaded(watched)
    told: dict[str, Any] = {"interval_s": interval_s}
    if times is not None:
        told["loaded"] = list(times)
    told["targets"] = [one.to_json() for one in watched]
    told["components"] = [one.to_json(rounds) for one in components]
    told["totals"] = {**_totals(components, rounds), "restarts": sum(one["restarts"] for one in told["targets"])}
    roles = dict.fromkeys(one.role for one in components)
    if len(roles) > 1:
        told["roles"] = {role: _totals([c for c in components if c.role == role], rounds) for role in roles}
    return told


def _components(watched: Sequence[Watched]) -> Iterator[Component]:
    """Each server with what it said, and what the exporters of its node said of its GPUs."""
    gpus = [one for one in watched if one.target.role == GPU]
    ours = {one.target.pod for one in watched if one.target.role != GPU and one.target.pod}
    for one in watched:
        if one.target.role != GPU:
            series = dict(_all_series(one.window))
            for gpu in gpus if one.target.pod else ():
                series |= _of_pod(gpu.window, one.target.pod)
            if series:
                yield Component(one.target.label, one.target.role, one.target.pod, series)
    for gpu in gpus:
        # An exporter that knows no pods tells of the whole node; one that does, of GPUs that may be others'.
        series = {name: several for name, several in _all_series(gpu.window) if not any(map(_pod_of, several))}
        if series and not any(_of_pod(gpu.window, pod) for pod in ours):
            yield Component(gpu.target.label, GPU, gpu.target.pod, series)


def _all_series(window: Window) -> Iterator[tuple[str, Sequence[Series]]]:
    for metric in METRICS:
        if several := window.series(metric):
            yield metric.canonical, several


def _of_pod(window: Window, pod: str | None) -> dict[str, Sequence[Series]]:
    own = ((name, [one for one in several if _pod_of(one) == pod]) for name, several in _all_series(window))
    return {name: several for name, several in own if several}


def _pod_of(series: Series) -> str:
    """The pod that uses a GPU, by its exporter; empty where it does not say, or nobody does."""
    return series.labels.get("pod") or ""


def _loaded(watched: Sequence[Watched]) -> tuple[range | None, tuple[float, float] | None]:
    """The rounds between the first and the last sign of work, and their times; None where no target gives such signs.

    A program starts before its first request and ends after its last: what servers did meanwhile is not the load's.
    """
    begins: list[tuple[int, float]] = []
    ends: list[tuple[int, float]] = []
    known = False
    for one in watched:
        for metric in AT_WORK:
            for series in one.window.series(metric):
                known = True
                before = None
                for point in series.points:
                    if metric.kind == "gauge" and point.value > 0:
                        begins.append((point.round, point.at))
                        ends.append((point.round, point.at))
                    if metric.kind == "counter" and before is not None and point.value > before.value:
                        # It worked between the two: before the later, after the earlier.
                        begins.append((point.round, point.at))
                        ends.append((before.round, before.at))
                    before = point
    if not known:
        return None, None
    if not begins or min(begins)[0] > max(ends)[0]:
        return range(0), None
    first, last = min(begins), max(ends)
    return range(first[0], last[0] + 1), (round(first[1], 3), round(last[1], 3))


def _totals(components: Sequence[Component], rounds: range | None) -> dict[str, float]:
    made: dict[str, float] = {}
    for metric in METRICS:
        several = [one for component in components for one in component.series.get(metric.canonical, ())]
        made |= _total(metric, several, rounds) if several else {}
    for name, hits, queries in RATES:
        if made.get(queries):
            made[name] = made.get(hits, 0.0) / made[queries]
    return made


def _total(metric: Metric, several: Sequence[Series], rounds: range | None) -> Mapping[str, float]:
    name = metric.canonical
    if metric.kind == "counter":
        parts: dict[str, float] = {}
        for one in several if metric.split else ():
            part = f"{name}.{one.labels.get(metric.split, '')}"
            parts[part] = parts.get(part, 0.0) + one.increase
        return {name: sum(one.increase for one in several), **parts}
    if metric.kind == "gauge":
        facts = gauge_facts(metric, several, rounds)
        return {f"{name}.{one}": facts[one] for one in ("mean", "min", "max") if one in facts}
    merged = together([one.buckets for one in several if one.buckets is not None])
    if merged is None or merged.mean is None:
        return {}
    known = {f"{name}.p{one:g}": value * metric.scale for one, value in merged.percentiles().items()}
    return {f"{name}.mean": merged.mean * metric.scale, **known}
