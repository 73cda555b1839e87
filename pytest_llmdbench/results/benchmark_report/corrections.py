"""What reports that llm-d-benchmark made say in other words than they mean, by load program.

Its converters copy a program's words. The same word is not the same metric in all programs, so what is known to differ
is read by its meaning, and a sentence on it goes with the result. Nothing is made up: what was lost stays absent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pytest_llmdbench.results.benchmark_report.units import LATENCIES
from pytest_llmdbench.results.result import Distribution

#: The report's latencies by their canonical names.
CANONICAL: Final = dict(zip(LATENCIES, ("ttft", "normalized_tpot", "tpot", "itl", "e2e"), strict=True))


@dataclass(frozen=True, slots=True)
class Correction:
    """How the reports of one load program are read.

    ``latencies`` are those that mean something else. ``total_is_completed``: ``requests.total`` leaves the failed ones
    out. ``window``: in reports of which versions the run's duration is that of the load, from the first request sent to
    the last one ended. ``lengths_of_all``: mean lengths are over all requests, failed ones too. ``rate_of_closed``: a
    closed loop has a rate, which nobody asked for. ``role_is_a_gap``: where a chat was spoken, gaps between tokens
    count the one behind the event with the role.
    """

    latencies: Mapping[str, str] = field(default_factory=dict)
    total_is_completed: bool = False
    window: tuple[str, ...] = ()
    lengths_of_all: bool = False
    rate_of_closed: bool = False
    role_is_a_gap: bool = False
    notes: tuple[str, ...] = ()


#: Of a run in which no request completed: load programs write zeros then.
NO_MEASUREMENT: Final = "no request completed: the report's latencies, lengths and rates are no measurements"
#: What the converter makes of a name of inference-perf 0.7 that it does not know.
NO_PROMPTS: Final = "the length of prompts is absent: the converter writes 0 for those of inference-perf 0.7"
#: Of the gaps of a chat, where the report says that it was one; and where it does not say.
ROLE_IN_GAPS: Final = "inter_token_latency is absent: that of a chat counts the event with the role as a token"
ROLE_MAYBE_IN_GAPS: Final = "inter_token_latency, if it is that of a chat, counts the event with the role as a token"
_P25: Final = "the 25th percentile is absent: the converter of vLLM's files writes it under a name nobody reads"
_MEDIANS: Final = "the medians of request_latency and inter_token_latency are absent: the converter leaves them out"
_CORRECTIONS: Final[Mapping[str, Correction]] = {
    "inference-perf": Correction(rate_of_closed=True),
    "guidellm": Correction(
        latencies={"time_per_output_token": "normalized_tpot", "inter_token_latency": "tpot"},
        window=("0.1", "0.2", "0.2.1"),
        notes=(
            "guidellm's time_per_output_token contains the time to the first token: read as normalized_tpot",
            "guidellm's inter_token_latency is a mean a request: read as tpot",
        ),
    ),
    "aiperf": Correction(
        latencies={"inter_token_latency": "tpot"},
        total_is_completed=True,
        window=("0.1",),
        notes=(
            "aiperf's inter_token_latency is a mean a request: read as tpot",
            "the converter of aiperf's files counts kinds of failures, not failed requests: there may be more",
        ),
    ),
    "vllm-benchmark": Correction(window=("0.1",), lengths_of_all=True, role_is_a_gap=True, notes=(_P25,)),
    "inferencemax": Correction(
        window=("0.1", "0.2", "0.2.1"), lengths_of_all=True, role_is_a_gap=True, notes=(_P25, _MEDIANS)
    ),
}


def correction(tool: str | None) -> Correction:
    """How reports on runs of a load program are read; as they stand, for one that nothing is known of."""
    return _CORRECTIONS.get(tool or "", Correction())


def lengths_of_completed(rates: Mapping[str, float]) -> dict[str, Distribution]:
    """The mean lengths of completed requests: of these alone are the tokens and the requests by the second."""
    requests = rates.get("requests_per_second")
    found = {}
    for name in ("prompt", "output"):
        tokens = rates.get(f"{name}_tokens_per_second")
        if tokens is not None and requests and math.isfinite(length := tokens / requests):
            found[name] = Distribution(mean=length)
    return found
