"""The metrics an objective can be about: name, unit, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pytest_llmdbench.results.result import Purpose

Kind = Literal["time", "share", "rate", "number", "money", "energy"]
#: What stands behind a metric's name: ``.p99``, nothing, ``(ttft <= 500ms, ...)``, or ``(NAME)``.
Form = Literal["statistic", "plain", "bounds", "named"]

#: Units a bound may be written in, and what they are worth in canonical units (seconds, shares of 1, a second, joules).
UNITS: Final[dict[Kind, dict[str, float]]] = {
    "time": {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0},
    "share": {"%": 0.01},
    "rate": {"": 1.0, "/s": 1.0},
    "number": {"": 1.0, "%": 0.01},
    "money": {"": 1.0},
    "energy": {"J": 1.0, "kJ": 1e3, "Wh": 3600.0, "kWh": 3.6e6},
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    ``lower_is_better`` is None where either may be. ``purposes`` are those of the harnesses that can measure it: an
    objective of a scenario holds for these.
    """

    name: str
    kind: Kind
    lower_is_better: bool | None
    form: Form
    meaning: str
    purposes: tuple[Purpose, ...] = ("load",)


METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric("ttft", "time", True, "statistic", "time to first token"),
        Metric("tpot", "time", True, "statistic", "time per output token after the first, per request"),
        Metric("itl", "time", True, "statistic", "inter-token latency: the gap between two events of a stream"),
        Metric("e2e", "time", True, "statistic", "end-to-end latency of a request"),
        Metric("normalized_tpot", "time", True, "statistic", "end-to-end latency divided by output tokens"),
        Metric("goodput", "share", False, "bounds", "share of the requests that met every bound; failed ones did not"),
        Metric("error_rate", "share", True, "plain", "share of the requests that failed", ("load", "accuracy")),
        Metric("requests_per_second", "rate", False, "plain", "completed requests a second"),
        Metric("output_tokens_per_second", "rate", False, "plain", "generated tokens a second"),
        Metric("prompt_tokens_per_second", "rate", False, "plain", "prompt tokens a second"),
        Metric("cost_per_1m_output_tokens", "money", True, "plain", "GPU cost of a million generated tokens"),
        Metric("cost", "money", True, "plain", "GPU cost of the load"),
        Metric("energy_per_1m_output_tokens", "energy", True, "plain", "GPU energy of a million generated tokens"),
        Metric("score", "number", None, "named", "a score of an accuracy harness, as in score(sanity.exact_match)",
               ("accuracy",)),
        Metric("startup", "number", None, "named", "a figure of the engine's start, as in startup(ready_s)",
               ("startup",)),
    )
}  # fmt: skip
