"""What the single requests of a stage, or of a whole table (stage None), say together; absent stays absent."""

from __future__ import annotations

from typing import Final

from pytest_llmdbench.results.distributions import distribution, histogram_distribution
from pytest_llmdbench.results.result import Distribution
from pytest_llmdbench.results.table import RequestTable

#: Latencies that are one number a request.
BY_REQUEST: Final = ("ttft", "tpot", "e2e", "normalized_tpot")


def latencies_of(table: RequestTable, stage: int | None) -> dict[str, Distribution]:
    """The distributions of :attr:`~pytest_llmdbench.results.result.Stage.latencies`, of completed requests."""
    made = {name: distribution(table.values(name, stage)) for name in BY_REQUEST}
    made["itl"] = histogram_distribution(table.gaps(stage))
    return {name: one for name, one in made.items() if one is not None}


def lengths_of(table: RequestTable, stage: int | None) -> dict[str, Distribution]:
    """The distributions of tokens a request, of completed requests."""
    made = {name: distribution(table.values(f"{name}_tokens", stage)) for name in ("prompt", "output")}
    return {name: one for name, one in made.items() if one is not None}


def tokens_per_event(table: RequestTable, stage: int | None) -> float | None:
    """How many tokens came with one piece of a stream."""
    import numpy as np

    pieces = total = 0.0
    for events, tokens in table.pieces("events", "output_tokens", stage=stage, outcome="completed"):
        known = ~np.isnan(tokens) & (events > 0)
        pieces += float(events[known].sum())
        total += float(tokens[known].sum())
    return total / pieces if pieces else None
