"""Whether an estimate meets an objective: which metrics are estimated, how far off they may be, how lengths spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.speed import Speed
from pytest_llmdbench.declared.objective import Objective

#: Metric of an objective -> how it is read from a speed, and the share by which the estimate may be wrong.
_ESTIMATED: Final[Mapping[str, Callable[[Speed], tuple[float, float]]]] = {
    "ttft": lambda found: (found.ttft, found.ttft_error),
    "tpot": lambda found: (found.tpot, found.tpot_error),
    "itl": lambda found: (found.tpot, found.tpot_error),
    "e2e": lambda found: (found.e2e, found.tpot_error),
}


def estimated(objective: Objective) -> bool:
    """Whether there is an estimate of what the objective is about."""
    return objective.metric in _ESTIMATED and not objective.parts


def met(objective: Objective, found: Speed, load: Load) -> bool:
    """Whether an objective is expected to be met; one that nobody can estimate is.

    Estimates are means. Of a percentile above the median, or the maximum, the far end of the range has to hold, for the
    prompt (TTFT) or the answer (E2E) of that percentile: the one grows with the prompt's length, the other with the
    answer's. Both contain the wait in a queue, which is that of the percentile as well.
    """
    if not estimated(objective):
        return True
    value, error = _ESTIMATED[objective.metric](found)
    percentile = 100.0 if objective.statistic == "max" else objective.percentile
    if percentile is not None and percentile > 50:
        wait = found.wait.mean if objective.metric in ("ttft", "e2e") else 0.0
        longer = (value - wait) * _longer(objective.metric, percentile, load)
        value = (1 + error) * (longer + (found.wait.at(percentile) if wait else 0.0))
    return objective.bound.met_by(value)


def _longer(metric: str, percentile: float, load: Load) -> float:
    """How many times the mean length a request of this percentile has, where its latency grows with it."""
    if metric == "ttft":
        return load.prompt.at(percentile, load.prompt_tokens) / load.prompt_tokens
    if metric == "e2e":
        return load.output.at(percentile, load.output_tokens) / load.output_tokens
    return 1.0
