"""The metrics an objective can be about: name, unit, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pytest_llmdbench.results.result import Purpose

Kind = Literal["time", "share", "rate"]

#: Units a bound may be written in, and what they are worth in canonical units (seconds, shares of 1, a second).
UNITS: Final[dict[Kind, dict[str, float]]] = {
    "time": {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0},
    "share": {"%": 0.01},
    "rate": {"": 1.0, "/s": 1.0},
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: ``has_statistics`` says whether it is a distribution and wants ``.p99`` or ``.mean``.

    ``purposes`` are those of the harnesses that can measure it: an objective of a scenario holds for these.
    """

    name: str
    kind: Kind
    lower_is_better: bool
    has_statistics: bool
    meaning: str
    purposes: tuple[Purpose, ...] = ("load",)


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("ttft", "time", True, True, "time to first token"),
        Metric("tpot", "time", True, True, "time per output token after the first, per request"),
        Metric("itl", "time", True, True, "inter-token latency: the gap between two events of a stream"),
        Metric("e2e", "time", True, True, "end-to-end latency of a request"),
        Metric("normalized_tpot", "time", True, True, "end-to-end latency divided by output tokens"),
        Metric("error_rate", "share", True, False, "share of the requests that failed", ("load", "accuracy")),
        Metric("requests_per_second", "rate", False, False, "completed requests a second"),
        Metric("output_tokens_per_second", "rate", False, False, "generated tokens a second"),
        Metric("prompt_tokens_per_second", "rate", False, False, "prompt tokens a second"),
    )
}
