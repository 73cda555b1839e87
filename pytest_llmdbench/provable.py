"""Whether a planned load can prove what is asked of it: found before anything is deployed. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.declared.warmup import Warmup
from pytest_llmdbench.harnesses.harness import PlannedStage
from pytest_llmdbench.repeats import ONCE, Repeats
from pytest_llmdbench.verdicts.share import requests_to_prove

#: The percentiles that people ask for, the highest first.
_USUAL: Final = (99.9, 99.0, 98.0, 95.0, 90.0, 80.0, 75.0, 50.0)


def planned_requests(stages: Sequence[PlannedStage], stage: int | None, warmup: Warmup) -> int | None:
    """How many requests a verdict on a stage (None: on the whole load) would rest on; None where nobody can say."""
    counted = [
        one
        for number, one in enumerate(stages)
        if number >= warmup.stages and (stage is None or number == stage)
    ]  # fmt: skip
    numbers = [one.requests for one in counted if one.requests is not None]
    return sum(numbers) if counted and len(numbers) == len(counted) else None


def cannot_prove(
    objective: Objective, stages: Sequence[PlannedStage], warmup: Warmup, repeats: Repeats = ONCE
) -> str | None:
    """Why a load of these stages cannot prove an objective, even if not one request is bad; None if it can.

    All runs that there may be count together.
    """
    if objective.allowed is None:
        return None
    runs, confidence = repeats.most, repeats.confidence
    needed = requests_to_prove(objective.allowed, confidence=confidence)
    planned = planned_requests(stages, objective.stage, warmup)
    if planned is None or planned * runs >= needed:
        return None
    where = f" of stage {objective.stage}" if objective.stage is not None else ""
    where += f" in {runs} runs" if runs > 1 else ""
    times = needed / max(1, planned * runs)
    return (
        f"objective '{objective.text}' ({objective.origin}) takes {needed} requests to prove, all of them good "
        f"({100 * confidence:.3g}% sure); this load has {planned * runs}{where}: "
        f"make it {times:.2g} times as long{_durations(stages, times)}"
        f"{_or_ask_for(objective, planned * runs, confidence)}"
    )


def _durations(stages: Sequence[PlannedStage], times: float) -> str:
    durations = {one.duration_s for one in stages}
    if len(durations) == 1 and None not in durations:
        (duration,) = durations
        return f" (--llmd-overrides duration={math.ceil((duration or 0.0) * times)})"
    return ""


def _or_ask_for(objective: Objective, requests: int, confidence: float) -> str:
    if objective.percentile is None:
        return ""
    able = next((one for one in _USUAL if requests_to_prove(1 - one / 100, confidence=confidence) <= requests), None)
    return f", or ask for {objective.metric}.p{able:g}" if able and able < objective.percentile else ""
